from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """One model is swapped out for another's; a foreign key leads to where a setting says."""

    dependencies = [
        ("corpus", "0051_inherited_longer"),
        migrations.swappable_dependency(settings.CORPUS_CATEGORY_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            "Category",
            fields=[("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())],
            options={"swappable": "CORPUS_CATEGORY_MODEL"},
        ),
        migrations.AddField(
            "kind",
            "category",
            models.ForeignKey(settings.CORPUS_CATEGORY_MODEL, models.PROTECT, null=True, related_name="+"),
        ),
        migrations.AddField("category", "more", models.TextField(default="")),
    ]
