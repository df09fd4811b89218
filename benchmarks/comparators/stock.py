"""As ``single``, with DRF's own views, serializers and parser."""

from benchmarks.comparators.common import REST_FRAMEWORK
from benchmarks.comparators.single import *  # noqa: F403

ROOT_URLCONF = "benchmarks.comparators.stock_urls"
REST_FRAMEWORK = REST_FRAMEWORK | {
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 20,
}
