from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("corpus", "0046_renamed_indexes")]
    operations = [
        *[
            migrations.RemoveIndex("book", name)
            for name in ["book_by_title", "book_lent", "book_lowest", "book_covering", "book_like"]
        ],
        *[
            migrations.RemoveConstraint("book", name)
            for name in [
                "book_unique_lower",
                "book_unique_late",
                "book_unique_if_lent",
                "book_title_is_long",
                "book_unique",
            ]
        ],
    ]
