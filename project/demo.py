"""Demo data: three catalogues that look like somebody's, and the four people of the README.

Everything is derived from fixed lists and a seeded generator, so a second run finds what the first made.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from decimal import Decimal

from catalog.models import Category, Product
from tenancy.context import require_tenant
from tenancy.transactions import control_atomic, tenant_atomic
from users.models import Membership, User

PASSWORD = "correct-horse-battery"

PEOPLE: dict[str, tuple[str, dict[str, str]]] = {
    "ada@example.com": ("Ada Lovelace", {"acme": "owner"}),
    "bob@example.com": ("Bob Bäcker", {"globex": "member"}),
    "grace@example.com": ("Grace Hopper", {"acme": "viewer", "globex": "admin"}),
    "eve@example.com": ("Eve Nobody", {}),
}


@dataclass(frozen=True)
class Assortment:
    """What a demo tenant sells: categories with their nouns, and the words that vary them."""

    prefix: str
    currencies: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    variants: tuple[str, ...]
    sizes: tuple[str, ...]
    cheapest: int
    dearest: int


ASSORTMENTS = {
    "acme": Assortment(
        prefix="ACM",
        currencies=("EUR",),
        categories={
            "Anvils": ("Anvil", "Horn anvil", "Bench block"),
            "Hand tools": ("Claw hammer", "Pipe wrench", "Crescent spanner", "Fäustel", "Tournevis isolé"),
            "Hand tools > Saws": ("Tenon saw", "Coping saw", "Ryoba 両刃鋸"),
            "Springs & rockets": ("Leg spring", "Rocket skate", "Giant rubber band", "Catapult kit"),
            "Paint": ("Tunnel paint", "Invisible ink", "Lackfarbe „Nachtblau“"),
        },
        variants=("standard", "heavy duty", "left-handed", "galvanised", "titane", "für Profis"),
        sizes=("S", "M", "L", "XL"),
        cheapest=3,
        dearest=480,
    ),
    "globex": Assortment(
        prefix="GLX",
        currencies=("USD", "GBP"),
        categories={
            "Sensors": ("Thermocouple", "Geiger counter", "Lidar head", "Ångström gauge"),
            "Sensors > Optics": ("Beam splitter", "Collimator", "Czerny–Turner grating"),
            "Power": ("Fuel cell", "Supercapacitor", "DC/DC brick", "Σ-Δ converter"),
            "Weather": ("Cloud seeder", "Barometer", "Anemometer ☂"),
        },
        variants=("lab", "field", "marine", "rad-hard", "mini", "µ-series"),
        sizes=("1×", "2×", "5×", "10×"),
        cheapest=20,
        dearest=9_500,
    ),
    "initech": Assortment(
        prefix="INI",
        currencies=("EUR", "CHF"),
        categories={
            "Paper": ("TPS cover sheet", "Notebook", "Legal pad", "Grußkarte"),
            "Desk": ("Red stapler", "Desk lamp", "Cable tray", "Crème brûlée mug"),
            "Desk > Storage": ("Drawer unit", "Archive box", "ファイルケース"),
            "Machines": ("Fax machine", "Label printer", "Shredder"),
        },
        variants=("basic", "executive", "recycled", "ergonomic", "quiet", "naïve blue"),
        sizes=("A5", "A4", "A3", "B4"),
        cheapest=1,
        dearest=620,
    ),
}


def create_catalogue() -> int:
    """Fill the catalogue of the tenant in context; returns how many products were new."""
    tenant = require_tenant()
    assortment = ASSORTMENTS[tenant.id]
    generator = random.Random(tenant.id)
    with tenant_atomic():
        before = Product.objects.count()
        products = []
        for path, nouns in assortment.categories.items():
            category = _category(tenant.id, path)
            for noun in nouns:
                for variant in assortment.variants:
                    for size in assortment.sizes:
                        sku = f"{assortment.prefix}-{len(products) + 1001}"
                        cents = generator.randrange(assortment.cheapest * 100, assortment.dearest * 100, 5)
                        products.append(
                            Product(
                                id=_key(tenant.id, sku),
                                sku=sku,
                                name=f"{noun}, {variant}, {size}",
                                description=f"{noun} by {tenant.name}, {variant}, size {size}.",
                                category=category,
                                price=Decimal(cents) / 100,
                                currency=generator.choice(assortment.currencies),
                                stock=generator.choice((0, 0, 1, 3, 12, 40, 250)),
                                is_active=generator.random() > 0.06,
                            )
                        )
        Product.objects.bulk_create(products, ignore_conflicts=True, batch_size=200)
        return Product.objects.count() - before


def _category(tenant_id: str, path: str) -> Category:
    parent_path, _, name = path.rpartition(" > ")
    parent = _category(tenant_id, parent_path) if parent_path else None
    category, _ = Category.objects.get_or_create(
        id=_key(tenant_id, path), defaults={"name": name, "parent": parent}
    )
    return category


def _key(tenant_id: str, what: str) -> uuid.UUID:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"https://freehold.example/{tenant_id}/{what}")


def create_people() -> int:
    """The cast with its memberships; returns how many people were new."""
    made = 0
    for email, (name, roles) in PEOPLE.items():
        try:
            user = User.objects.get_by_natural_key(email)
        except User.DoesNotExist:
            with control_atomic():  # interrupted, it is done again
                user = User.objects.create_user(email, PASSWORD, name=name)
                for tenant_id, role in roles.items():
                    Membership.objects.create(user=user, tenant_id=tenant_id, role=role)
            made += 1
    return made
