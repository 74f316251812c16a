"""The admin API's resources: boxes and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.generics import ListAPIView
from rest_framework.response import Response
from rest_framework.views import APIView

from controlplane import boxes as verbs
from controlplane.api.serializers import (
    BoxSerializer,
    CreatedBoxSerializer,
    JobSerializer,
    NewBoxSerializer,
)
from tenants import selectors
from tenants.models import Box, Job

if TYPE_CHECKING:
    from uuid import UUID

    from rest_framework.request import Request

PROBLEM = OpenApiResponse(description="Problem details (RFC 9457).")


class Boxes(ListAPIView):
    """The boxes of the account."""

    serializer_class = BoxSerializer

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):  # drf-spectacular asks without a caller
            return Box.objects.none()
        return selectors.boxes_of(self.request.user)

    @extend_schema(
        operation_id="boxes_create",
        request=NewBoxSerializer,
        responses={202: CreatedBoxSerializer, 403: PROBLEM, 409: PROBLEM, 422: PROBLEM},
    )
    def post(self, request: Request) -> Response:
        """Ask for a box. It is made by a job, whose state tells when it is ready.

        Repeating the request answers 409, for the name is taken: nothing is made twice.
        """
        asked = NewBoxSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        created = verbs.create_box(request.user, asked.to_draft(), show_later=False)
        body = CreatedBoxSerializer(
            {
                "box": created.box,
                "job": created.job,
                "first_client": {"id": created.box.client_id, "secret": created.secret},
            },
            context={"request": request},
        )
        return Response(
            body.data,
            status=status.HTTP_202_ACCEPTED,
            headers={"Location": f"/api/v1/boxes/{created.box.name}"},
        )


class OneBox(APIView):
    @extend_schema(operation_id="boxes_read", responses={200: BoxSerializer, 404: PROBLEM})
    def get(self, request: Request, name: str) -> Response:
        """Read one box."""
        box = selectors.get_box(request.user, name)
        return Response(BoxSerializer(box, context={"request": request}).data)

    @extend_schema(
        operation_id="boxes_delete", responses={202: JobSerializer, 403: PROBLEM, 404: PROBLEM}
    )
    def delete(self, request: Request, name: str) -> Response:
        """Delete a box with all its data. Only its owner may. Answers the job that does it."""
        job, _ = verbs.delete_box(request.user, name)
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED)


class Jobs(ListAPIView):
    """The jobs the account asked for, and those on its boxes; newest first."""

    serializer_class = JobSerializer

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):  # drf-spectacular asks without a caller
            return Job.objects.none()
        return selectors.jobs_of(self.request.user)


class OneJob(APIView):
    @extend_schema(operation_id="jobs_read", responses={200: JobSerializer, 404: PROBLEM})
    def get(self, request: Request, job_id: UUID) -> Response:
        """Read one job: its state and how far its steps are."""
        job = selectors.find_job(request.user, job_id)
        if job is None:
            raise Http404
        return Response(JobSerializer(job).data)
