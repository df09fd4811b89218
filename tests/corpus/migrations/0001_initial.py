from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            "Author",
            fields=[
                ("id", models.AutoField(primary_key=True)),
                ("name", models.CharField(max_length=40)),
                ("born", models.IntegerField(null=True)),
            ],
        ),
        migrations.CreateModel(
            "Book",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("title", models.CharField(max_length=100)),
                ("pages", models.IntegerField(null=True)),
                ("author", models.ForeignKey("corpus.Author", models.CASCADE, related_name="books")),
            ],
        ),
    ]
