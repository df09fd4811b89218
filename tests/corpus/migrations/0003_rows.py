from django.db import migrations

from tests.corpus import rows


class Migration(migrations.Migration):
    dependencies = [("corpus", "0002_shelf")]
    operations = [migrations.RunPython(rows.write_library, rows.erase_library)]
