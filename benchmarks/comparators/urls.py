from django.urls import include, path
from rest_framework.routers import SimpleRouter

from benchmarks.comparators.catalog.views import CategoryViewSet, ProductViewSet

router = SimpleRouter()
router.register("categories", CategoryViewSet)
router.register("products", ProductViewSet)
urlpatterns = [path("api/", include(router.urls))]
