from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from tenancy.audit.trail import operator
from tenancy.registry import get_registry
from users import members
from users.errors import LastOwner
from users.models import Membership, Role, User


class Command(BaseCommand):
    help = "Grants, removes and lists who belongs to which tenant. Safe to run twice."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        grant = verbs.add_parser("grant", help="Make a user a member, or change the role.")
        remove = verbs.add_parser("remove", help="Take a membership away.")
        for verb in (grant, remove):
            verb.add_argument("email")
            verb.add_argument("tenant")
            verb.add_argument("--force", action="store_true", help="Also the last owner.")
        grant.add_argument("--role", choices=Role.values, default=Role.MEMBER.value)
        listing = verbs.add_parser("list", help="List the members of a tenant.")
        listing.add_argument("tenant")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = options["tenant"]
        if options["verb"] != "remove":  # a membership of a tenant that is gone can be removed
            get_registry().get(tenant)
        if options["verb"] == "list":
            for membership in Membership.objects.filter(tenant_id=tenant).select_related("user"):
                self.stdout.write(f"{membership.user.email}  {membership.role}")
            return
        user = self.find(options["email"])
        try:
            if options["verb"] == "grant":
                role = Role(options["role"])
                members.grant(tenant, user, role, who=operator(), keeps_owner=not options["force"])
                self.stdout.write(f"{user.email} is now {options['role']} of {tenant}.")
            else:
                self.remove(tenant, user, force=options["force"])
        except LastOwner:
            raise CommandError(
                f"{user.email} is the last owner of {tenant} who can sign in. Make somebody else one first, "
                "or say --force."
            ) from None

    def remove(self, tenant: str, user: User, *, force: bool) -> None:
        # What belongs to a tenant that is gone has no owner to keep.
        anyway = force or tenant not in get_registry()
        try:
            members.remove(tenant, user.pk, by=Role.OWNER, who=operator(), keeps_owner=not anyway)
        except members.NoSuchMember:
            self.stdout.write(f"{user.email} did not belong to {tenant}.")
        else:
            self.stdout.write(f"{user.email} no longer belongs to {tenant}.")

    def find(self, email: str) -> User:
        try:
            return User.objects.get_by_natural_key(email)
        except User.DoesNotExist:
            raise CommandError(
                f"No user has the e-mail '{email}'. Have an owner of the tenant invite them "
                "(POST /api/invitations/), or make one in the admin."
            ) from None
