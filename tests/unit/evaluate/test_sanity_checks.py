"""Sanity checks: similarities against SciPy and scikit-image, the cascade and the fits done again by hand."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity as reference_ssim

import minicnn
from minicnn.cli import main
from minicnn.errors import MinicnnError, ShapeError
from minicnn.evaluate.randomise import fit_last_layer, replace_parameters, shuffle_parameters, stages
from minicnn.evaluate.sanity_checks import cascade_maps, sanity_check
from minicnn.evaluate.sanity_result import SanityCheck
from minicnn.evaluate.similarity import rank_correlation, structural_similarity
from minicnn.explain import saliency
from minicnn.figures import provenance
from minicnn.figures.verification import verify_figure
from minicnn.io import catalogue
from minicnn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from minicnn.report.chart import chart

SEVEN = catalogue.folder("images") / "seven.png"


@pytest.fixture(scope="module")
def net():
    return minicnn.load("digits")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A seven, and white strokes on black that the net takes for other digits."""
    folder, strokes = tmp_path_factory.mktemp("strokes"), np.zeros((3, 28, 28), np.uint8)
    strokes[0, 4:24, 13:16] = 255
    strokes[1, 5:23, 8:20] = 255
    strokes[1, 8:20, 11:17] = 0
    strokes[2, 6:9, 8:20] = strokes[2, 6:23, 17:20] = 255
    for n, stroke in enumerate(strokes):
        Image.fromarray(stroke).save(folder / f"{n}.png")
    return [str(SEVEN), *(str(folder / f"{n}.png") for n in range(3))]


def test_rank_correlation_equals_scipy():
    rng = np.random.default_rng(0)
    for values in (rng.standard_normal((2, 30, 20)), rng.integers(0, 4, (2, 30, 20)).astype(np.float32)):
        assert rank_correlation(*values) == pytest.approx(spearmanr(*values.reshape(2, -1)).statistic, abs=1e-12)
    ramp = np.arange(12.0).reshape(3, 4)
    assert rank_correlation(ramp, ramp**3) == 1 and rank_correlation(ramp, -ramp) == -1
    assert np.isnan(rank_correlation(ramp, np.ones((3, 4))))
    with pytest.raises(ShapeError, match="one shape"):
        rank_correlation(ramp, ramp.T)


def test_structural_similarity_equals_scikit_image():
    rng = np.random.default_rng(1)
    a = rng.random((40, 31))
    b = np.clip(0.6 * a + 0.4 * rng.random((40, 31)), 0, 1)
    how = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1.0}
    # scikit-image keeps the truncated window's weights as ours, so that float64 rounding is all that is left
    assert structural_similarity(a, b) == pytest.approx(reference_ssim(a, b, **how), abs=1e-9)
    assert structural_similarity(a, a) == pytest.approx(1) and structural_similarity(a[:8, :8], a[:8, :8]) == 1
    with pytest.raises(ShapeError, match="shape"):
        structural_similarity(a[0], a[0])


def test_stages_go_from_the_scores_down_and_cover_every_parameter(net):
    assert [s.name for s in stages(net)] == [
        "fc_layers.2", "fc_layers.0", "conv_layers.6", "conv_layers.3", "conv_layers.0",
    ]  # fmt: skip
    lite0 = minicnn.load("efficientnet-lite0")
    all_stages = stages(lite0)
    assert [s.name for s in all_stages][:3] == ["_fc", "_conv_head", "_blocks.15"] and len(all_stages) == 19
    assert "_bn1.running_var" in all_stages[1].parameters
    assert sorted(p for s in all_stages for p in s.parameters) == sorted(lite0.state_dict())
    with pytest.raises(MinicnnError, match="no parameters"):
        stages(minicnn.Network([ReLU(), Flatten()], input_shape=(1, 2, 2)))


def test_shuffled_parameters_keep_their_values_and_statistics_stay_pairs():
    net = minicnn.load("efficientnet-lite0")
    shuffled, state = shuffle_parameters(net, 3), net.state_dict()
    for name, array in state.items():
        assert shuffled[name].dtype == array.dtype and shuffled[name].shape == array.shape
        np.testing.assert_array_equal(np.sort(shuffled[name], axis=None), np.sort(array, axis=None))
    assert all((shuffled[n] != a).any() for n, a in state.items())
    pairs = {
        (float(m), float(v)) for m, v in zip(state["_bn1.running_mean"], state["_bn1.running_var"], strict=True)
    }
    again = zip(shuffled["_bn1.running_mean"], shuffled["_bn1.running_var"], strict=True)
    assert {(float(m), float(v)) for m, v in again} == pairs
    same = shuffle_parameters(net, 3)
    assert all((same[n] == shuffled[n]).all() for n in shuffled)


@pytest.mark.parametrize("count", [5, 60])
@pytest.mark.parametrize("bias", [True, False])
def test_refitted_is_ridge_regression(count, bias):
    layers = [("conv", Conv2d(1, 3, 3)), ReLU(), Flatten(), ("full", Linear(12, 4, bias=bias))]
    net = minicnn.Network(layers, input_shape=(1, 4, 4), seed=2)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((1, 1, 4, 4), np.float32) for _ in range(count)]
    labels = np.arange(count) % 4
    fitted = fit_last_layer(net, inputs, labels)
    f = np.concatenate([net.forward(x, upto="2") for x in inputs]).astype(np.float64)
    y = np.eye(4)[labels]
    fc, yc = (f - f.mean(axis=0), y - y.mean(axis=0)) if bias else (f, y)
    ridge = 1e-3 * np.square(fc).sum() / min(fc.shape)
    stacked = np.vstack([fc, np.sqrt(ridge) * np.eye(12)]), np.vstack([yc, np.zeros((12, 4))])
    expected = np.linalg.lstsq(*stacked, rcond=None)[0].T
    np.testing.assert_allclose(fitted.net["full"].weight, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    scores = np.concatenate([fitted.net(x) for x in inputs])
    assert fitted.accuracy == (scores.argmax(axis=1) == labels).mean()
    np.testing.assert_array_equal(fitted.net["conv"].weight, net["conv"].weight)


def test_what_least_squares_cannot_fit_is_said():
    net = minicnn.Network([Flatten(), ReLU()], input_shape=(1, 2, 2))
    with pytest.raises(MinicnnError, match="no linear layer"):
        fit_last_layer(net, [np.zeros((1, 1, 2, 2), np.float32)], np.array([0]))


def test_similarities_are_those_of_maps_made_by_hand(net, images):
    check = sanity_check(net, images[:2], ("gradient", "guided"), seed=5)
    parameters = shuffle_parameters(net, 5)
    for row, image in zip(check.rows, images, strict=False):
        own = saliency(net, image, rule="guided", crops="one")
        assert row["target"] == own.target
        x = net.preprocess(image)
        first = np.abs(net.input_gradient(x, own.target, "guided"))[0, 0]
        names = [n for s in stages(net)[:3] for n in s.parameters]
        for check_name, stage, changed in (("cascade", 2, names), ("independent", 1, stages(net)[1].parameters)):
            other = minicnn.load("digits")
            other.load_state_dict({**other.state_dict(), **{n: parameters[n] for n in changed}})
            map = np.abs(other.input_gradient(x, own.target, "guided"))[0, 0]
            similarity = row["similarity"]["guided"][check_name][stage]
            assert similarity[0] == pytest.approx(spearmanr(first.ravel(), map.ravel()).statistic, abs=1e-6)
            assert similarity[2] == pytest.approx(
                structural_similarity(first / first.max(), map / map.max()), abs=1e-6
            )


def test_labels_are_permuted_where_there_are_several(net, images):
    check = sanity_check(net, images, ("gradient",))
    assert "gets 100% of the labels right" in check.labels and "100% of the permuted" in check.labels
    assert check.estimate("gradient", "permuted labels").value < 0.99
    alone = sanity_check(net, images[:1], ("gradient",))
    assert alone.labels.startswith("not done") and alone.estimate("gradient", "permuted labels") is None
    assert np.isnan(alone.estimate("gradient", "cascade", 0).low) and "-" in alone.table()[1][0]


def test_a_class_more_or_less_is_nothing_to_a_net_that_is_one_row():
    """With one score the other class is its negation, whose map is the same."""
    net = minicnn.Network([Conv2d(1, 2, 3), ReLU(), Flatten(), Linear(8, 1)], input_shape=(1, 4, 4), seed=1)
    net.preprocess = minicnn.Preprocess(size=(4, 4), channels="L", mean=(0.0,), std=(1.0,))
    picture = np.random.default_rng(0).integers(0, 255, (4, 4), np.uint8)
    with pytest.warns(UserWarning, match="taken as the logit of a positive class"):
        check = sanity_check(net, [picture], ("gradient",))
    assert check.rows[0]["similarity"]["gradient"]["another class"][0] == pytest.approx(1)


def verdict_of(*values):
    """Verdict on a method whose similarities with the last layer shuffled, and the upper half, are these pairs."""
    rows = [{"similarity": {"m": {"cascade": [[v[0]] * 3, [v[1]] * 3, [0] * 3, [0] * 3]}}} for v in values]
    return SanityCheck(["d", "c", "b", "a"], {"m": {}}, rows, "", 0).verdict("m")


def test_verdicts_follow_from_the_intervals():
    assert verdict_of((0.95, 0.1), (0.99, 0.2)).startswith("fails: 0.97 with the last layer shuffled, 0.15")
    assert verdict_of((0.7, 0.6), (0.6, 0.9)).startswith("fails")
    assert verdict_of((0.7, 0.1), (0.6, 0.3)).startswith("passes")
    assert verdict_of((0.7, 0.1), (0.6, 0.8)).startswith("undecided")
    assert verdict_of((0.8, 0.1), (1.0, 0.3)).startswith("undecided")
    assert verdict_of((0.91, 0.1)).startswith("fails") and verdict_of((0.89, 0.49)).startswith("passes")


def test_a_run_goes_on_where_it_stopped(net, images, tmp_path, monkeypatch):
    first = sanity_check(net, images, ("gradient",), keep=tmp_path)
    seen = []
    again = sanity_check(
        net, images, ("gradient",), keep=tmp_path, progress=lambda left: seen.extend(left) or left
    )
    assert not seen and json.dumps(again.rows) == json.dumps(first.rows)


@pytest.mark.parametrize(("methods", "message"), [(("lime",), "expected one of"), ((), None)])
def test_wrong_use_is_said(net, methods, message):
    if message is None:
        with pytest.raises(MinicnnError, match="at least one picture"):
            sanity_check(net, [])
    else:
        with pytest.raises(MinicnnError, match=message):
            sanity_check(net, [SEVEN], methods)


def test_maps_along_the_cascade_begin_with_the_trained_nets(net):
    cascade = cascade_maps(net, SEVEN, {"gradient": {}}, (0, 5))["gradient"]
    x = net.preprocess(SEVEN)
    np.testing.assert_allclose(cascade[0][0], np.abs(net.input_gradient(x, 7))[0, 0], rtol=1e-6)
    other = replace_parameters(net, shuffle_parameters(net))
    np.testing.assert_allclose(cascade[1][0], np.abs(other.input_gradient(x, 7))[0, 0], rtol=1e-6)
    assert cascade[0][1] == pytest.approx(1) and cascade[1][1] < 1


def test_command_writes_table_chart_and_figures_that_verify(images, tmp_path, capsys):
    typed = [
        "evaluate",
        "sanity",
        "digits",
        *images,
        "-o",
        str(tmp_path),
        "--methods",
        "gradient,guided,grad-cam",
    ]
    assert main([*typed, "--device", "reference"]) == 0
    said = capsys.readouterr().out
    assert (
        "guided: fails" in said and "gradient: passes" in said and "permuted labels: the last layer alone" in said
    )
    lines = (tmp_path / "sanity.csv").read_text().splitlines()
    assert len(lines) == 1 + len(images) * 3 * (2 * 5 + 2)
    for method in ("gradient", "guided", "grad-cam"):
        verdict = verify_figure(tmp_path / f"sanity-{method}.png")
        assert verdict.match and verdict.difference == 0
    record = provenance.read(tmp_path / "sanity.png")
    assert len(record["images"]) == 4 and len(record["result"]["verdicts"]) == 3
    with pytest.raises(MinicnnError, match="a figure of kind 'sanity-chart'"):
        verify_figure(tmp_path / "sanity.png")
    assert main([*typed, "--device", "reference", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["maps"]["guided"]["cascade"][4]["absolute"]["value"] < 0.6 and record["images"] == 4
    assert main([*typed[:3], str(tmp_path / "none.png"), "-o", str(tmp_path)]) == 1


def test_charts_widen_and_refuse_what_is_no_curve():
    picture = chart({f"c{n}": [1, -0.3 * n] for n in range(9)}, "left", "right")
    assert picture.size[0] > 760
    for curves in ({}, {"a": [1]}, {"a": [1, 2], "b": [1, 2, 3]}):
        with pytest.raises(ShapeError, match="chart: expected curves"):
            chart(curves)
    with pytest.raises(ShapeError, match="finite"):
        chart({"a": [1, np.nan]})


def test_without_max_pooling_a_deconvnet_does_not_see_its_picture():
    """Switches are all that ties it to the picture: its rule ignores where the input of ReLU was positive."""
    rng = np.random.default_rng(0)
    pictures = rng.standard_normal((2, 1, 8, 8), np.float32)
    layers = [
        Conv2d(1, 4, 3, padding=1),
        ReLU(),
        Conv2d(4, 4, 3, stride=2, padding=1),
        ReLU(),
        Flatten(),
        Linear(64, 3),
    ]
    without = minicnn.Network(layers, input_shape=(1, 8, 8), seed=1)
    pooled = [*layers[:2], MaxPool2d(2), Conv2d(4, 4, 3, padding=1), *layers[3:]]
    for net, same in ((without, True), (minicnn.Network(pooled, input_shape=(1, 8, 8), seed=1), False)):
        first, second = (net.input_gradient(x[None], 1, "deconvnet") for x in pictures)
        assert first.any() and np.array_equal(first, second) == same
