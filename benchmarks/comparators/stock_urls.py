from django.urls import include, path
from rest_framework.routers import SimpleRouter

from benchmarks.comparators.catalog.views import StockCategoryViewSet, StockProductViewSet

router = SimpleRouter()
router.register("categories", StockCategoryViewSet)
router.register("products", StockProductViewSet)
urlpatterns = [path("api/", include(router.urls))]
