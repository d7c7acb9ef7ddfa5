"""dj-stripe in the smallest Django site its documents allow; runs in an environment of its own, never in
ours.

`python djstripe_site.py` migrates and makes the webhook endpoint; gunicorn then serves `application`. With
`sync` and an id it reads one subscription at the PSP, as the documents show it.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.urls import include, path

_database = urlsplit(os.environ["DATABASE_URL"])
ENDPOINT = "8b1a9953-c461-4296-a827-abf8c47804d7"

settings.configure(
    DEBUG=False,
    SECRET_KEY=os.environ["STRIPE_WEBHOOK_SECRET"],
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "djstripe"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": _database.path[1:],
            "USER": _database.username,
            "PASSWORD": _database.password,
            "HOST": _database.hostname,
            "PORT": _database.port,
            "CONN_MAX_AGE": None,
        }
    },
    STRIPE_LIVE_MODE=False,
    STRIPE_TEST_SECRET_KEY=os.environ["STRIPE_SECRET_KEY"],
    STRIPE_API_HOST=os.environ["STRIPE_API_BASE"],
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
)
django.setup()
urlpatterns = [path("stripe/", include("djstripe.urls", namespace="djstripe"))]
application = get_wsgi_application()


def _prepare() -> None:
    from djstripe.models import WebhookEndpoint  # noqa: PLC0415 - models exist only after setup

    call_command("migrate", verbosity=0)
    WebhookEndpoint.objects.get_or_create(
        djstripe_uuid=ENDPOINT,
        defaults={
            "id": "we_bench",
            "secret": os.environ["STRIPE_WEBHOOK_SECRET"],
            "url": f"http://127.0.0.1/stripe/webhook/{ENDPOINT}/",
            "enabled_events": ["*"],
            "livemode": False,
            "api_version": "2026-10-28.endive",
            "status": "enabled",
        },
    )


def _sync(subscription_id: str) -> None:
    import stripe  # noqa: PLC0415 - dj-stripe sets its address up
    from djstripe.models import Subscription  # noqa: PLC0415 - models exist only after setup

    found = stripe.Subscription.retrieve(subscription_id, api_key=settings.STRIPE_TEST_SECRET_KEY)
    Subscription.sync_from_stripe_data(found)


if __name__ == "__main__":
    if sys.argv[1:2] == ["sync"]:
        _sync(sys.argv[2])
    else:
        _prepare()
