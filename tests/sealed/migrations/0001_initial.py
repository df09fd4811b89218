from importlib import import_module

from django.db import migrations

from tests.sealed import Sealed

_first = import_module("catalog.migrations.0001_initial").Migration


class Migration(migrations.Migration):
    initial = True
    operations = [*_first.operations, migrations.AddField("product", "seal", Sealed(max_length=20, default="x"))]
