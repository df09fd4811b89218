from django.db import migrations, models


class Migration(migrations.Migration):
    """Columns of many types, and changes of them."""

    dependencies = [("corpus", "0059_one_to_one_again")]
    operations = [
        migrations.CreateModel(
            "Sample",
            fields=[
                ("code", models.CharField(max_length=8, primary_key=True)),
                ("amount", models.DecimalField(max_digits=5, decimal_places=2, default="1.50")),
                ("is_good", models.BooleanField(null=True)),
                ("digits", models.CharField(max_length=8, default="12")),
                ("data", models.BinaryField(default=b"\x00\x01", blank=True)),
                ("span", models.DurationField(null=True)),
                ("day", models.DateField(null=True)),
                ("hour", models.TimeField(null=True)),
                ("address", models.GenericIPAddressField(null=True)),
                ("ratio", models.FloatField(default=0.5)),
                ("small", models.PositiveIntegerField(default=1)),
            ],
        ),
        migrations.CreateModel(
            "Part",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("sample", models.ForeignKey("corpus.Sample", models.CASCADE)),
            ],
        ),
    ]
