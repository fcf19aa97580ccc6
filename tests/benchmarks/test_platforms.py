"""Where the benchmarks run, decided without jax."""

from __future__ import annotations

import importlib.util

import pytest

from benchmarks import platforms
from benchmarks.kernels import __main__ as kernels
from benchmarks.mechanism import options


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch):
    """jax's CUDA plugin is installed, or not."""

    def there(yes: bool) -> None:
        find = importlib.util.find_spec
        fake = lambda name: yes or None if name in platforms._PLUGINS else find(name)
        monkeypatch.setattr(platforms.importlib.util, "find_spec", fake)

    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    return there


def test_without_the_plugin_there_is_no_gpu(plugin):
    plugin(False)
    assert platforms.resolve("cpu") == "cpu"
    assert platforms.resolve("auto") == "auto", "jax's own choice"
    with pytest.raises(ValueError, match=r"--platform is cuda, but jax has no NVIDIA GPU: jax's CUDA plugin is not"):
        platforms.resolve("cuda")


def test_jax_platforms_is_heeded(plugin, monkeypatch: pytest.MonkeyPatch):
    plugin(True)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(platforms.subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    assert platforms.resolve("auto") == "auto"
    assert platforms.missing_gpu() == "JAX_PLATFORMS is 'cpu'"


@pytest.mark.parametrize("found", [True, False])
def test_a_process_of_its_own_looks_for_the_gpu(plugin, found: bool, monkeypatch: pytest.MonkeyPatch):
    plugin(True)
    looks = "import sys; sys.exit(0)" if found else "raise RuntimeError('no driver')"
    run = platforms.subprocess.run
    monkeypatch.setattr(platforms.subprocess, "run", lambda command, **more: run([*command[:2], looks], **more))
    assert platforms.resolve("auto") == ("cuda" if found else "auto")
    if not found:
        with pytest.raises(ValueError, match="no NVIDIA GPU: RuntimeError: no driver"):
            platforms.resolve("cuda")


def test_a_gpu_has_one_malloc_setting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platforms, "missing_gpu", lambda _: None)
    assert options.parse([]).allocators == ("default",)
    assert options.parse(["--platform", "cpu"]).allocators == ("default", "tuned")
    assert options.parse(["--allocators", "one_arena"]).allocators == ("one_arena",)


def test_a_gpu_that_is_not_there_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(platforms, "missing_gpu", lambda _: "none in sight")
    assert kernels.main(["--platform", "cuda"]) == 2
    with pytest.raises(SystemExit, match="2"):
        options.parse(["--platform", "cuda"])
    assert capsys.readouterr().err.count("no NVIDIA GPU: none in sight") == 2
