from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0009_teacher")]
    operations = [migrations.AlterOrderWithRespectTo("book", "author")]
