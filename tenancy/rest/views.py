"""What the views of a tenant app build on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db.models import QuerySet
from django.utils.cache import patch_vary_headers
from rest_framework import status, viewsets
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from tenancy.context import current_tenant
from tenancy.rest.errors import ApiError, LengthRequired
from tenancy.rest.etags import check_preconditions, etag_of, is_unchanged
from tenancy.transactions import tenant_atomic, tenant_set_rollback


class ApiViewMixin:
    """For every view of the API: refuses query parameters that it does not know (``?tenant=`` must not
    look as if it were obeyed), and says on each answer who may keep it and what it depends on."""

    cache_control = "private, no-cache"
    #: Whether it may answer 429; the description says so.
    is_braked = False
    #: Whether a write may answer 409, as every tenant model's may.
    has_rules = False
    #: Whether a call is one transaction on the tenant's database, whatever its method: nothing of a call that
    #: is answered with an error stays. None takes ``settings.TENANCY_ATOMIC_REQUESTS``. What is not made yet
    #: of a streamed body is made after the transaction; ``export`` is in none.
    atomic_requests: bool | None = None
    # Without OPTIONS: the schema describes the API better, and needs no object to be read for it.
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]
        if "Transfer-Encoding" in request.headers and not request.headers.get("Content-Length"):
            # Django takes a body without a length for none, and a change would be answered but not made.
            raise LengthRequired
        unknown = sorted(set(request.query_params) - self.known_parameters())
        # A method that the view does not have comes later, and is a 405 whatever else is wrong.
        if unknown and request.method in self.allowed_methods:  # type: ignore[attr-defined]
            raise ValidationError({name: ["Unknown parameter."] for name in unknown})
        self._begin()

    def _begin(self) -> None:
        """Only now is it known whose database it is."""
        wanted = settings.TENANCY_ATOMIC_REQUESTS if self.atomic_requests is None else self.atomic_requests
        if wanted and current_tenant() is not None:
            _ = self.request.data  # type: ignore[attr-defined]  # a slow body must hold no transaction
            self._transaction.enter_context(tenant_atomic())
            self._is_atomic = True

    _is_atomic = False

    def known_parameters(self) -> set[str]:
        """The names that may stand in the query string."""
        return set()

    def handle_exception(self, exc: Exception) -> Response:
        response: Response = super().handle_exception(exc)  # type: ignore[misc]
        request: Any = self.request  # type: ignore[attr-defined]
        if isinstance(exc, ApiError):
            exc.note(request, self)
        # A view may answer in a format of its own; errors are JSON everywhere.
        request.accepted_renderer = JSONRenderer()
        request.accepted_media_type = JSONRenderer.media_type
        return response

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """One call, and in it the transaction that ``initial()`` may have begun.

        1. DRF turns an exception into an answer; ``finalize_response()`` marks the transaction of an answer
           that is an error, and leaving it rolls back.
        2. Leaving it commits otherwise. What fails only then (a deferred constraint, a server that is gone)
           is answered as an error too.
        """
        self._transaction = ExitStack()
        try:
            with self._transaction:
                return super().dispatch(request, *args, **kwargs)  # type: ignore[misc]
        except DatabaseError as exc:
            self._is_atomic = False
            drf_request = self.request  # type: ignore[attr-defined]
            return self.finalize_response(drf_request, self.handle_exception(exc), *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        if response.status_code >= 400 and self._is_atomic:
            tenant_set_rollback()
        response.headers.setdefault("Cache-Control", self.cache_control)
        patch_vary_headers(response, ["Authorization", "Accept"])
        return response


class TenantModelViewSet(ApiViewMixin, viewsets.ModelViewSet[Any]):  # type: ignore[misc]
    """CRUD over one model of a tenant app.

    Each write is one transaction on the tenant's database; an error that DRF turns into a 4xx leaves it
    as an exception first, and so rolls it back. A write to one object locks its row, then compares
    ``If-Match``. Reads carry an ETag.
    """

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self._read_body()
        with tenant_atomic():
            return super().create(request, *args, **kwargs)

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self._read_body()
        with tenant_atomic():
            return super().update(request, *args, **kwargs)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        with tenant_atomic():
            return super().destroy(request, *args, **kwargs)

    def _read_body(self) -> None:
        """Before the transaction: DRF reads the body when it is first asked for, and a client that sends
        slowly would hold the row's lock (on SQLite, the whole database's) for as long as it likes."""
        _ = self.request.data

    def get_object(self) -> Any:
        instance = super().get_object()
        if self.request.method not in SAFE_METHODS:
            check_preconditions(self.request, etag_of(self.get_serializer(instance).data))
        return instance

    #: The actions whose answer is filtered, searched and ordered by the query string.
    list_actions: tuple[str, ...] = ("list",)

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.action in self.list_actions:
            return super().filter_queryset(queryset)
        return queryset if self.request.method in SAFE_METHODS else self.lock(queryset)

    def lock(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The queryset that a write reads its object from. SQLite has no row locks and needs none: a
        transaction that may write is alone from its first statement on (``BEGIN IMMEDIATE``)."""
        return queryset.select_for_update(of=("self",))

    def known_parameters(self) -> set[str]:
        if self.action not in self.list_actions:
            return set()
        names = {"page", "page_size"} if self.action == "list" else set()
        for backend_class in self.filter_backends:
            backend: Any = backend_class()
            if hasattr(backend, "get_filterset_class"):
                filterset_class = backend.get_filterset_class(self)
                names |= set(filterset_class.base_filters) if filterset_class else set()
            else:
                names |= {parameter["name"] for parameter in backend.get_schema_operation_parameters(self)}
        return names

    def get_success_headers(self, data: Any) -> dict[str, str]:
        return {"Location": f"{self.request.path}{data['id']}/"}

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(response, Response) and response.status_code in (200, 201):
            etag = etag_of(response.data)
            if request.method in SAFE_METHODS and is_unchanged(request, etag):
                response = Response(status=status.HTTP_304_NOT_MODIFIED)
            response.headers["ETag"] = etag
        return super().finalize_response(request, response, *args, **kwargs)
