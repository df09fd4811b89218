from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0060_left"), ("corpus", "0060_right")]
    operations = [
        migrations.RunSQL(
            [
                "INSERT INTO corpus_sample (code, amount, digits, data, ratio, small)"
                " VALUES ('a', 1.25, '17', '', 0.25, 4)",
                "INSERT INTO corpus_part (sample_id) VALUES ('a')",
            ],
            reverse_sql="DELETE FROM corpus_part; DELETE FROM corpus_sample;",
        ),
    ]
