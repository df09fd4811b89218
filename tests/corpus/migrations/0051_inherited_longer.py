from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0050_inherited")]
    operations = [
        migrations.AddField("novel", "ending", models.CharField(max_length=20, default="good")),
        migrations.AddField("elsewhere", "more", models.TextField(default="")),
        migrations.AlterField("elsewhere", "name", models.CharField(max_length=20)),
        migrations.RenameField("elsewhere", "more", "less"),
        migrations.AlterModelTable("elsewhere", "nowhere"),
        migrations.AlterModelOptions("tome", {"verbose_name": "volume", "proxy": True}),
        migrations.AlterField("novel", "hero", models.CharField(max_length=20, null=True)),
    ]
