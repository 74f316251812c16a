from __future__ import annotations

from django.urls import path
from drf_spectacular.views import SpectacularAPIView

from controlplane.api import views

urlpatterns = [
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("boxes", views.Boxes.as_view(), name="api-boxes"),
    path("boxes/<str:name>", views.OneBox.as_view(), name="api-box"),
    path("jobs", views.Jobs.as_view(), name="api-jobs"),
    path("jobs/<uuid:job_id>", views.OneJob.as_view(), name="api-job"),
]
