from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0001_initial")]
    operations = [
        migrations.CreateModel(
            "Shelf",
            fields=[
                ("id", models.AutoField(primary_key=True)),
                ("code", models.CharField(max_length=10, unique=True)),
            ],
        ),
        migrations.AddField(
            "book", "shelf", models.ForeignKey("corpus.Shelf", models.SET_NULL, null=True)
        ),
    ]
