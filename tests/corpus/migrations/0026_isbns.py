from django.db import migrations

from tests.corpus import rows


class Migration(migrations.Migration):
    dependencies = [("corpus", "0025_text")]
    operations = [migrations.RunPython(rows.number_books, rows.unnumber_books)]
