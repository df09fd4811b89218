"""The same API served in other ways, each as small as an honest Django project can be.

``catalog`` and ``people`` are plain Django with the fields, indexes and constraints of ours. The views,
filters, pages and ETags are those of ``tenancy.rest``, which do not care where the data lives; what differs
is what is compared. ``stock`` alone has DRF's own views, to show what those features cost.
"""
