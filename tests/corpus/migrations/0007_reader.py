from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0006_genres")]
    operations = [
        migrations.CreateModel(
            "Reader",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=30)),
                ("email", models.EmailField(max_length=100, unique=True)),
            ],
        ),
        migrations.CreateModel(
            "Loan",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("book", models.ForeignKey("corpus.Book", models.CASCADE)),
                ("reader", models.ForeignKey("corpus.Reader", models.CASCADE)),
                ("since", models.DateField()),
            ],
            options={"unique_together": {("book", "reader")}},
        ),
        migrations.AddField("reader", "books", models.ManyToManyField("corpus.Book", through="corpus.Loan")),
    ]
