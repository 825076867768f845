import json

import pytest
import torch
from PIL import Image

from synaug_core.config import ArmConfig, Config, FilterConfig, PasteConfig, SynthesisConfig
from synaug_core.config.load import load
from synaug_core.data.imageset import LABEL_SHARES
from synaug_core.data.scaling import Preprocessing
from synaug_core.errors import ConfigError, DataError
from synaug_core.preflight import check_config
from synaug_core.report import sheets
from synaug_core.seeds import stream
from synaug_core.synthesis import paste as pasting
from synaug_core.synthesis import registry
from synaug_core.synthesis.make import synthesise
from synaug_core.synthesis.masks import fingerprint_masks, read_masks
from synaug_core.synthesis.paste import blend_poisson, cutmix, paste
from synaug_core.synthesis.strategy import Source


def source(train, name="small"):
    return Source(name, train.of_class(name), train=train)


def choices(mask="box", **values):
    return SynthesisConfig(strategy="paste", paste=PasteConfig(mask=mask, **values), filters=None)


def image_of(train, name):
    return train.images[train.ids.index(name)]


def test_a_hard_box_is_the_object_inside_and_its_surroundings_outside(train):
    new = paste(source(train), 40, choices(blending="none", area=(0.3, 0.5)), seed=1)
    for image, origin in zip(new.images, new.provenance, strict=True):
        x, y = image_of(train, origin["parents"][0]), image_of(train, origin["donors"][0])
        is_object, is_around = (image == x).all(0), (image == y).all(0)
        assert bool((is_object | is_around).all())
        assert 0.15 <= origin["area"] <= 0.65  # whole pixels
        assert float(is_object.float().mean()) >= origin["area"] - 1e-6
        assert origin["donors"][0].startswith("large/")  # the one class with more images
        share = origin["area"]
        assert origin[LABEL_SHARES] == {"small": pytest.approx(share), "large": pytest.approx(1 - share)}
    assert new.measures["area"] == pytest.approx(0.4, abs=0.05)
    kept = paste(source(train), 3, choices(label="kept"), seed=1)
    assert all(LABEL_SHARES not in origin for origin in kept.provenance)


def test_the_map_says_which_part(train, monkeypatch):
    maps = torch.zeros(7, 16, 16)
    maps[:, 2:6, 2:12] = torch.linspace(0.5, 1, 10)
    maps[3] = 0
    monkeypatch.setattr(pasting, "_evidence", lambda source: maps)
    new = paste(source(train), 7, choices("map", blending="none", area=(0.1, 0.1)), seed=1)
    for image, origin in zip(new.images, new.provenance, strict=True):
        x, y = image_of(train, origin["parents"][0]), image_of(train, origin["donors"][0])
        if origin["parents"] == ["small/3"]:
            continue  # where the map shows nothing it is a box
        assert origin["area"] == pytest.approx(26 / 256)  # the brightest tenth
        outside = torch.ones(16, 16, dtype=torch.bool)
        outside[2:6, 2:12] = False
        assert torch.equal(image[:, outside], y[:, outside])
        assert torch.equal(image[:, 2:6, 6:12], x[:, 2:6, 6:12])
    wide = paste(source(train), 7, choices("map", blending="none", area=(0.5, 0.5)), seed=1)
    areas = {o["parents"][0]: o["area"] for o in wide.provenance}
    assert areas["small/0"] == pytest.approx(40 / 256)  # no more than there is evidence


def test_a_feathered_edge_is_soft(train):
    hard, soft = (
        paste(source(train), 30, choices(blending=blending, feather=0.1), seed=1) for blending in ("none", "feather")
    )
    assert not torch.equal(hard.images, soft.images)
    for one, other in zip(hard.provenance, soft.provenance, strict=True):
        assert one["parents"] == other["parents"]
        assert one["area"] == pytest.approx(other["area"], abs=0.06)


def test_poisson_blending_keeps_differences_inside_and_values_outside():
    random = stream(0)
    x, y = (
        0.3 + 0.2 * torch.rand(2, 3, 12, 12, generator=random),
        0.6 + 0.1 * torch.rand(2, 3, 12, 12, generator=random),
    )
    inside = torch.zeros(2, 12, 12, dtype=torch.bool)
    inside[0, 3:9, 4:8] = True
    inside[1, :5, :] = True  # up to the image's edge
    blended = blend_poisson(x, y, inside)
    outside = ~inside[:, None].expand_as(x)
    assert torch.equal(blended[outside], y[outside])
    core = (
        inside[:, 1:-1, 1:-1] & inside[:, :-2, 1:-1] & inside[:, 2:, 1:-1] & inside[:, 1:-1, :-2] & inside[:, 1:-1, 2:]
    )

    def laplacian(images):
        return 4 * images[..., 1:-1, 1:-1] - (
            images[..., :-2, 1:-1] + images[..., 2:, 1:-1] + images[..., 1:-1, :-2] + images[..., 1:-1, 2:]
        )

    error = (laplacian(blended) - laplacian(x)).abs()[core[:, None].expand(-1, 3, -1, -1)]
    assert float(error.max()) < 2e-3
    flat = blend_poisson(torch.full_like(x, 0.2), torch.full_like(x, 0.8), inside)
    assert torch.allclose(flat, torch.full_like(x, 0.8), atol=1e-3)  # an even object takes its surroundings' brightness
    everywhere = blend_poisson(x, y, torch.ones_like(inside))
    assert torch.equal(everywhere, x)
    assert torch.allclose(blend_poisson(x[:1], y[:1], inside[:1]), blended[:1], atol=1e-6)


def test_the_control_mixes_all_classes_by_area(train):
    new = cutmix(source(train), 200, choices(area=(0.3, 0.3)), seed=1)
    classes = [{name.partition("/")[0] for name in o.get("donors", ())} for o in new.provenance]
    assert {name for names in classes for name in names} == {"large", "single", "other"}
    own = [o for o in new.provenance if "donors" not in o]
    assert 20 < len(own) < 80  # a quarter
    assert all(len(set(o["parents"])) == 2 and LABEL_SHARES not in o for o in own)
    assert all(o[LABEL_SHARES]["small"] == pytest.approx(1 - o["area"]) for o in new.provenance if "donors" in o)
    assert ArmConfig(name="c", synthesis=SynthesisConfig(strategy="cutmix")).is_control
    assert not ArmConfig(name="p", synthesis=choices()).is_control


def test_labels_by_area_reach_the_image_set_and_the_filter(train):
    half = SynthesisConfig(
        strategy="paste",
        paste=PasteConfig(mask="box", area=(0.5, 0.5)),
        filters=FilterConfig(label_consistency=0.4, memorisation=None, near_duplicates=None, blankness=None),
    )

    def judge(images):
        return torch.tensor([[0.6, 0.25, 0.1, 0.05]]).repeat(len(images), 1).numpy()

    images = synthesise(None, train, {"small": 5}, half, seed=1, judge=judge).images
    assert len(images) == 5  # 0.25 is enough for a half of the class, of which 0.4 is asked
    assert torch.allclose(images.label_shares().sum(1), torch.ones(5))
    assert images.label_shares()[:, 1].tolist() == pytest.approx([0.5] * 5, abs=0.1)
    kept = half.model_copy(update={"paste": PasteConfig(mask="box", label="kept")})
    assert len(synthesise(None, train, {"small": 5}, kept, seed=1, judge=judge).images) == 0
    assert json.loads(images.provenance[0])["strategy"] == "paste"
    assert sheets.changes(train, images).size[0] > 5 * 60


def test_what_it_needs(train):
    with pytest.raises(ConfigError, match="map needs a classifier trained on real images"):
        paste(source(train), 3, choices("map"), seed=1)
    with pytest.raises(DataError, match="no class but 'small'"):
        paste(Source("small", train.of_class("small")), 3, choices(), seed=1)
    entry = registry.find("paste")
    assert entry.needs_classifier(choices("map"))
    assert not entry.needs_classifier(choices("box"))
    with pytest.raises(ValueError, match="area: an interval within"):
        PasteConfig(area=(0.5, 0.2))


@pytest.fixture
def folder(tmp_path):
    """A mask of each image of the class, half as large again and wider than high: white left of the middle."""
    (tmp_path / "small").mkdir()
    for i in range(7):
        mask = Image.new("L", (36, 24), 0)
        mask.paste(255, (6, 0, 18, 24))
        mask.save(tmp_path / "small" / f"{i}.png")
    return tmp_path


def test_masks_of_files_are_cut_as_their_images_are(train, folder):
    drawn = read_masks(folder, train.of_class("small").ids, 16, Preprocessing(fit="crop"))
    assert drawn["small/0"].shape == (16, 16)
    assert drawn["small/0"][:, :7].min() > 0.9
    assert drawn["small/0"][:, 9:].max() < 0.1
    new = synthesise(
        None, train, {"small": 7}, choices("files", masks=str(folder), blending="none"), seed=1, masks=drawn
    ).images
    for image, text in zip(new.images, new.provenance, strict=True):
        origin = json.loads(text)
        assert origin["area"] == pytest.approx(0.5)
        assert torch.equal(image[:, :, :8], image_of(train, origin["parents"][0])[:, :, :8])
        assert torch.equal(image[:, :, 8:], image_of(train, origin["donors"][0])[:, :, 8:])


def test_masks_that_are_missing_damaged_or_black_are_named(train, folder, tmp_path):
    ids = train.of_class("small").ids
    before = fingerprint_masks(folder)
    Image.new("L", (24, 24), 0).save(folder / "small" / "3.png")
    assert fingerprint_masks(folder) != before
    drawn = read_masks(folder, ids, 16, Preprocessing())
    with pytest.raises(DataError, match="mask of 'small/3' is black"):
        paste(
            Source("small", train.of_class("small"), train=train, masks=drawn), 3, choices("files", masks="x"), seed=1
        )
    (folder / "small" / "4.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"4.png cannot be read"):
        read_masks(folder, ids, 16, Preprocessing())
    (folder / "small" / "4.png").unlink()
    with pytest.raises(DataError, match="there is no mask of 'small/4'"):
        read_masks(folder, ids, 16, Preprocessing())
    outside = folder / "masks"
    outside.mkdir()
    with pytest.raises(DataError, match="there is no mask of"):
        read_masks(outside, ["../small/1"], 16, Preprocessing())
    with pytest.raises(DataError, match="there is no folder"):
        fingerprint_masks(folder / "nowhere")


def test_folders_of_masks_lie_beside_the_configuration(folder, monkeypatch, tmp_path):
    arm = "{name: p, synthesis: {strategy: paste, paste: {mask: files, masks: small}}}"
    (folder / "run.yaml").write_text(f"data: {{source: digits}}\narms: [control, {arm}]")
    config = load(str(folder / "run.yaml"))
    assert config.arms[1].synthesis.paste.masks == str(folder / "small")
    check_config(config)
    with pytest.raises(ValueError, match="masks: the folder of masks goes with"):
        PasteConfig(mask="files")
    lost = ArmConfig(name="p", synthesis=choices("files", masks="/nowhere/at/all"))
    with pytest.raises(ConfigError, match=r"arm p: synthesis.paste.masks: there is no folder /nowhere"):
        check_config(Config(arms=(lost,)))
