"""The shapes of the admin API's JSON. No business here: views hand drafts to verbs."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from controlplane.addresses import box_url
from controlplane.environment import get_environment
from tenants import selectors
from tenants.models import Box, Job, JobKind, JobStep, Purpose
from tenants.services.boxes import BoxDraft
from tenants.states import BoxState, JobState
from tenants.versions import DEFAULT_FHIR_VERSION


class BoxSerializer(serializers.ModelSerializer):
    fhir_version = serializers.CharField()
    state = serializers.ChoiceField(choices=[state.value for state in BoxState])
    base_url = serializers.SerializerMethodField()
    tier = serializers.CharField(source="tier_id")
    role = serializers.SerializerMethodField(help_text="The caller's role in the box.")

    class Meta:
        model = Box
        fields = [
            "name", "description", "purpose", "fhir_version", "tier", "state", "fault_code",
            "base_url", "client_id", "role", "created_at", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_base_url(self, box: Box) -> str:
        return box_url(box.name, get_environment())

    def get_role(self, box: Box) -> str:
        mine = getattr(box, "my_memberships", None)
        if mine:
            return str(mine[0].role)
        return str(selectors.role_in(self.context["request"].user, box) or "")


class StepSerializer(serializers.ModelSerializer):
    class Meta:
        model = JobStep
        fields = ["name", "started_at", "finished_at", "failed"]
        read_only_fields = fields


class JobSerializer(serializers.ModelSerializer):
    kind = serializers.ChoiceField(choices=JobKind.values)
    state = serializers.ChoiceField(choices=[state.value for state in JobState])
    box = serializers.CharField(source="box_name")
    steps = StepSerializer(many=True)

    class Meta:
        model = Job
        fields = [
            "id", "kind", "box", "state", "attempts", "fault_code", "created_at", "started_at",
            "finished_at", "steps",
        ]  # fmt: skip
        read_only_fields = fields


class FirstClientSerializer(serializers.Serializer):
    id = serializers.CharField()
    secret = serializers.CharField(help_text="Shown in this answer and never again.")


class CreatedBoxSerializer(serializers.Serializer):
    """What creation answers: the box, its job, and its first client."""

    box = BoxSerializer()
    job = JobSerializer()
    first_client = FirstClientSerializer()


class NewBoxSerializer(serializers.Serializer):
    """What creation takes. Names, versions and settings are judged by the verb."""

    name = serializers.CharField(max_length=64, trim_whitespace=False)
    fhir_version = serializers.CharField(max_length=20, default=DEFAULT_FHIR_VERSION)
    purpose = serializers.ChoiceField(choices=Purpose.choices, default=Purpose.DEVELOPMENT)
    tier = serializers.CharField(max_length=40, default="free")
    description = serializers.CharField(max_length=500, default="", allow_blank=True)
    env = serializers.DictField(
        default=dict, help_text="Settings of the box, like `box-web-thread`; values are texts."
    )

    def to_draft(self) -> BoxDraft:
        data: dict[str, Any] = self.validated_data
        return BoxDraft(
            name=data["name"],
            fhir_version=data["fhir_version"],
            purpose=data["purpose"],
            tier=data["tier"],
            description=data["description"],
            environment=data["env"],
        )
