"""Django settings. Everything an operator decides comes from `controlplane.environment`."""

from __future__ import annotations

import os
import secrets
from urllib.parse import urlsplit

from boxruntime import contract
from controlplane.environment import PROJECT, read_email, read_environment

HALEBOX = read_environment(os.environ)
DEBUG = HALEBOX.debug
# Without a configured key sessions end with the process, which is right for a bare `manage.py`.
SECRET_KEY = HALEBOX.secret_key or secrets.token_hex(32)

_CONSOLE = urlsplit(HALEBOX.base_url)
ALLOWED_HOSTS = sorted(
    {HALEBOX.cluster_domain, _CONSOLE.hostname or "localhost", "localhost", "127.0.0.1"}
)
CSRF_TRUSTED_ORIGINS = [f"{_CONSOLE.scheme}://{_CONSOLE.netloc}"]

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "oauth2_provider",
    "tenants",
    "controlplane.apps.ControlPlaneConfig",
]

MIDDLEWARE = [
    "controlplane.headers.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "controlplane.unstorable.UnstorableTextMiddleware",
]

ROOT_URLCONF = "controlplane.urls"
WSGI_APPLICATION = "controlplane.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [PROJECT / "controlplane" / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["controlplane.templatetags.console"],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": HALEBOX.database.get("dbname", "halebox_control"),
        "USER": HALEBOX.database.get("user", ""),
        "PASSWORD": HALEBOX.database.get("password", ""),
        "HOST": HALEBOX.database.get("host", ""),
        "PORT": HALEBOX.database.get("port", ""),
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"connect_timeout": 5, "application_name": "halebox control plane"},
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "tenants.Account"
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
# scrypt: 67 ms and 16 MB a password here, from the standard library.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["email"]},
    },
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "boxes"

# Host-only cookies: boxes live on sub-domains and must never receive the console's session, nor
# (which the prefix forbids) put one of theirs in its place.
_COOKIE_PREFIX = "__Host-" if HALEBOX.https else ""
SESSION_COOKIE_NAME = f"{_COOKIE_PREFIX}halebox-session"
SESSION_COOKIE_AGE = 14 * 24 * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = HALEBOX.https
CSRF_COOKIE_NAME = f"{_COOKIE_PREFIX}halebox-csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SECURE = HALEBOX.https
CSRF_FAILURE_VIEW = "controlplane.console.errors.csrf_failure"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # the edge drops what clients send
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HALEBOX.https else 0
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes; the largest body is an RPC call with an env

STATIC_URL = "/static/"
STATIC_ROOT = HALEBOX.static_root
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "controlplane.static_files.HashedStaticFiles"},
}
# Without collected files (tests, a bare runserver) they are served from their sources.
_COLLECTED = (HALEBOX.static_root / "staticfiles.json").exists()
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG or not _COLLECTED

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

MAIL_CONFIGURED = bool(HALEBOX.email_url)
DEFAULT_FROM_EMAIL = f"Halebox <no-reply@{HALEBOX.cluster_domain}>"
globals().update(read_email(HALEBOX.email_url))

CELERY_BROKER_URL = HALEBOX.redis_url

OAUTH2_PROVIDER = {
    "SCOPES": {"read": "See boxes and jobs", "write": "Create and delete boxes"},
    "DEFAULT_SCOPES": ["read"],
    "ACCESS_TOKEN_EXPIRE_SECONDS": 3600,
    "ALLOWED_GRANT_TYPES": ["client-credentials"],
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["controlplane.api.authentication.ApplicationBearer"],
    "DEFAULT_PERMISSION_CLASSES": ["controlplane.api.authentication.ScopePermission"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "controlplane.api.pages.Pages",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "controlplane.api.problems.handle",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Halebox admin API",
    "DESCRIPTION": "Create, read and delete boxes, and follow their jobs.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVERS": [{"url": HALEBOX.base_url}],
}

# What the box runtime offers, for `tenants`, which does not know the runtime.
FHIR_VERSIONS = contract.FHIR_VERSIONS
FHIR_VERSION_ALIASES = contract.FHIR_VERSION_ALIASES

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "controlplane.log.JsonLines"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # Their messages quote paths and hosts, which may carry tokens; what broke is written down
        # by controlplane.failures.
        "django.request": {"level": "CRITICAL"},
        "django.security": {"level": "CRITICAL"},
        "httpx": {"level": "WARNING"},
        # One line for each message, sweeps included; what jobs do is logged by themselves.
        "celery.worker.strategy": {"level": "WARNING"},
        "celery.app.trace": {"level": "WARNING"},
        "oauthlib": {"level": "CRITICAL"},
        "oauth2_provider": {"level": "CRITICAL"},
    },
}
