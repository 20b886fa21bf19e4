"""Marks of the attacks: they share two users and a root, so that one process of pytest makes them all."""

import pytest

ATTACK = (pytest.mark.slow, pytest.mark.xdist_group("security"))
