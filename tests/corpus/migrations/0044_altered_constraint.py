from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("corpus", "0043_constraints")]
    operations = [
        migrations.AlterConstraint(
            "book",
            "book_has_length",
            models.CheckConstraint(
                condition=models.Q(length__gte=0), name="book_has_length", violation_error_message="Too short."
            ),
        ),
    ]
