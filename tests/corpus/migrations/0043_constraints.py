from django.db import migrations, models
from django.db.models.functions import Length, Lower
from django.db.models.lookups import GreaterThan


class Migration(migrations.Migration):
    dependencies = [("corpus", "0042_somebody")]
    operations = [
        migrations.AddConstraint("book", constraint)
        for constraint in [
            models.CheckConstraint(condition=models.Q(length__gte=0), name="book_has_length"),
            models.CheckConstraint(
                condition=~models.Q(title="") & ~models.Q(title__contains="100%"), name="book_has_title"
            ),
            models.CheckConstraint(
                condition=GreaterThan(Length("title"), 2),
                name="book_title_is_long",
            ),
            models.UniqueConstraint(fields=["writer", "title", "shelf"], name="book_unique"),
            models.UniqueConstraint(
                fields=["title"], condition=models.Q(is_lent=True), name="book_unique_if_lent"
            ),
            models.UniqueConstraint(
                fields=["length", "title"], name="book_unique_late", deferrable=models.Deferrable.DEFERRED
            ),
            models.UniqueConstraint(Lower("title").desc(), "writer", name="book_unique_lower"),
            models.UniqueConstraint(fields=["title"], include=["length"], name="book_unique_covering"),
            models.UniqueConstraint(fields=["title"], opclasses=["text_pattern_ops"], name="book_unique_like"),
            models.UniqueConstraint(fields=["isbn", "shelf"], nulls_distinct=False, name="book_unique_null"),
        ]
    ]
