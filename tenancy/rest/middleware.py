"""Database faults outside the API, in the admin for one: 503 with Retry-After, as in the API."""

from __future__ import annotations

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.utils.deprecation import MiddlewareMixin

from tenancy.rest.errors import ApiError, as_api_error, body_of


class DatabaseFaultMiddleware(MiddlewareMixin):
    """Answers what a plain Django view lets escape. DRF's views answer for themselves."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> JsonResponse | None:
        error = as_api_error(exception) if isinstance(exception, Error) else None
        if not isinstance(error, ApiError) or error.retry_after is None:
            return None
        headers = {"Retry-After": str(error.retry_after)}
        return JsonResponse(body_of(error), status=error.status_code, headers=headers)
