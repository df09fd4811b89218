from django.db import migrations, models
from django.db.models.functions import Lower


class Migration(migrations.Migration):
    dependencies = [("corpus", "0044_altered_constraint")]
    operations = [
        migrations.AddIndex("book", index)
        for index in [
            models.Index(fields=["-length", "title"], name="book_long_first"),
            models.Index(fields=["length"], condition=models.Q(is_lent=True), name="book_lent"),
            models.Index(Lower("title"), models.F("length").desc(), name="book_lower"),
            models.Index(fields=["length"], include=["title"], name="book_covering"),
            models.Index(fields=["title"], opclasses=["text_pattern_ops"], name="book_like"),
        ]
    ]
