from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0016_renamed_index")]
    operations = [migrations.AlterUniqueTogether("book", {("title", "author")})]
