from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0061_merge")]
    operations = [
        migrations.AlterField("sample", "amount", models.DecimalField(max_digits=9, decimal_places=4)),
        migrations.AlterField("sample", "is_good", models.BooleanField(default=True)),
        migrations.AlterField("sample", "digits", models.IntegerField(default=12)),
        migrations.AlterField("sample", "small", models.PositiveBigIntegerField(default=1)),
        migrations.AlterField("sample", "ratio", models.IntegerField(default=0)),
        migrations.AlterField("sample", "code", models.CharField(max_length=16, primary_key=True)),
        migrations.AlterField("sample", "day", models.DateTimeField(null=True)),
        migrations.RemoveField("sample", "span"),
    ]
