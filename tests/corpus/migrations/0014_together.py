from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0013_table_comment")]
    operations = [
        migrations.AlterUniqueTogether("book", {("title", "author"), ("title", "pages")}),
        migrations.AlterIndexTogether("book", {("title", "pages"), ("isbn", "pages")}),
    ]
