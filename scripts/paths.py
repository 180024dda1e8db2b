"""Where the parts of a checkout are."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTOS = ROOT / "protos"
BUILD = ROOT / "build"
GENERATED = BUILD / "gen"
DESCRIPTORS = BUILD / "descriptors.binpb"
