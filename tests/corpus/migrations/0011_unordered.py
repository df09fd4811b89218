from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0010_ordered")]
    operations = [migrations.AlterOrderWithRespectTo("book", None)]
