from importlib import import_module

_first = import_module("catalog.migrations.0001_initial")


class Migration(_first.Migration):
    pass
