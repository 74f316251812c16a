"""What people type, checked for form; what it means is checked by the verbs."""

from __future__ import annotations

from django import forms
from django.contrib.auth.password_validation import validate_password

from tenants import selectors
from tenants.models import Account, Box, Purpose, Role
from tenants.names import MAX_LENGTH
from tenants.versions import FHIR_VERSIONS

PASSWORD_MAX = 256


def _password(label: str, *, new: bool) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=PASSWORD_MAX,
        strip=False,
        widget=forms.PasswordInput(
            attrs={"autocomplete": "new-password" if new else "current-password"}
        ),
    )


def _email() -> forms.EmailField:
    return forms.EmailField(
        label="Email",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autocapitalize": "none"}),
    )


class SignUpForm(forms.Form):
    email = _email()
    password = _password("Password", new=True)
    password.help_text = "At least ten characters. A few unrelated words are good."

    def clean(self) -> dict[str, object]:
        cleaned = super().clean() or {}
        password = cleaned.get("password")
        if password:
            try:
                validate_password(password, Account(email=cleaned.get("email")))
            except forms.ValidationError as error:
                self.add_error("password", error)
        return cleaned


class SignInForm(forms.Form):
    email = _email()
    password = _password("Password", new=False)


class RequestResetForm(forms.Form):
    email = _email()


class NewPasswordForm(forms.Form):
    password = _password("New password", new=True)
    password.help_text = "At least ten characters. A few unrelated words are good."

    def __init__(self, *args: object, account: Account, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._account = account

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password, self._account)
        return password


class ChangePasswordForm(NewPasswordForm):
    current = _password("Current password", new=False)
    field_order = ("current", "password")

    def clean_current(self) -> str:
        current: str = self.cleaned_data["current"]
        if not self._account.check_password(current):
            raise forms.ValidationError("This is not your current password.")
        return current


class NewBoxForm(forms.Form):
    name = forms.CharField(
        label="Box name",
        max_length=MAX_LENGTH,
        widget=forms.TextInput(
            attrs={
                "autocomplete": "off",
                "autocapitalize": "none",
                "spellcheck": "false",
                "aria-describedby": "name-help name-check",
            }
        ),
    )
    description = forms.CharField(label="Description", max_length=500, required=False)
    purpose = forms.ChoiceField(
        label="Purpose",
        choices=Purpose.choices,
        initial=Purpose.DEVELOPMENT,
        widget=forms.RadioSelect,
    )
    fhir_version = forms.ChoiceField(
        label="FHIR version",
        choices=list(FHIR_VERSIONS.items()),
        initial=next(iter(FHIR_VERSIONS)),
    )
    tier = forms.ModelChoiceField(
        queryset=None, label="Tier", widget=forms.RadioSelect, empty_label=None
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        tiers = selectors.offered_tiers()
        self.fields["tier"].queryset = tiers
        self.fields["tier"].initial = tiers.first()


class DeleteBoxForm(forms.Form):
    name = forms.CharField(
        label="Name of the box",
        max_length=MAX_LENGTH,
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: object, box_name: str, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._box_name = box_name

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name.strip() != self._box_name:
            raise forms.ValidationError(f"Type {self._box_name} to confirm.")
        return name


class CollaboratorForm(forms.Form):
    user = forms.CharField(label="Email or account id", max_length=254)
    role = forms.ChoiceField(
        label="Role",
        choices=[choice for choice in Role.choices if choice[0] != Role.OWNER],
        initial=Role.READER,
    )


class TransferForm(forms.Form):
    owner = forms.ChoiceField(label="New owner")

    def __init__(self, *args: object, box: Box, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].choices = [
            (member.account_id, member.account.email or member.account_id)
            for member in selectors.members(box)
            if member.role != Role.OWNER
        ]


class CredentialForm(forms.Form):
    name = forms.CharField(label="What it is for", max_length=100)
