"""What a transform starts from, against scipy and numpy: values, inverses, truncation, other grids."""

import numpy as np
import pytest
import scipy.fft
import scipy.linalg
import torch
from properties import assert_close, has_adjoint, is_linear, matches_matrix, moved_by_two_steps, perturb, random

from sciml.errors import BadSchema, ConfigError, CorruptFile
from sciml.transforms import (
    DCT,
    DST,
    DenseTransform,
    FourierTransform,
    Given,
    Hadamard,
    Hartley,
    LocalDFT,
    MonarchTransform,
    SeparableTransform,
    factor_parameters,
    full_rank,
    initial_factors,
    project_to_monarch,
)

pytestmark = pytest.mark.usefixtures("float64")

EXACT = 1e-12
ANY_SIZE = [1, 2, 12, 35, 31, 64, 90]  # awkward ones and a prime
REAL = ("dct", "dst", "hartley", "hadamard")


def expected(word: str, n: int) -> np.ndarray:
    """The whole orthonormal matrix, from another library."""
    if word == "dct":
        return scipy.fft.dct(np.eye(n), norm="ortho", axis=0)
    if word == "dst":
        return scipy.fft.dst(np.eye(n), norm="ortho", axis=0)
    if word == "hartley":
        fourier = np.fft.fft(np.eye(n), norm="ortho", axis=0)
        return fourier.real - fourier.imag
    if word == "hadamard":
        bits = n.bit_length() - 1
        paley = [int(f"{j:0{bits}b}"[::-1], 2) if bits else 0 for j in range(n)]
        return scipy.linalg.hadamard(n)[paley] / np.sqrt(n)
    return np.fft.fft(np.eye(n), norm="ortho", axis=0)


def local(n: int, blocks: int) -> np.ndarray:
    """Row block + blocks·frequency of the DFTs of all blocks."""
    fourier = np.fft.fft(np.eye(n // blocks), norm="ortho", axis=0)
    return np.stack([np.kron(np.eye(blocks)[b], row) for row in fourier for b in range(blocks)])


def differs(found: torch.Tensor, wanted: np.ndarray) -> float:
    return float(np.abs(found.detach().numpy() - wanted).max())


@pytest.mark.parametrize("word", ["dft", "dct", "dst", "hartley"])
@pytest.mark.parametrize("cls", [MonarchTransform, DenseTransform])
@pytest.mark.parametrize("n", ANY_SIZE)
def test_equals_the_librarys_transform(word, cls, n):
    whole = expected(word, n)
    assert differs(cls(n, init=word).as_matrix()[0], whole) < EXACT
    assert differs(cls(n, init=word, inverse=True).as_matrix()[0], whole.conj().T) < EXACT
    m = max(1, n // 3)
    first = range(0, m)
    assert differs(cls(n, init=word, modes=first).as_matrix()[0], whole[:m]) < EXACT
    assert differs(cls(n, init=word, modes=range(n - m, n)).as_matrix()[0], whole[n - m :]) < EXACT


@pytest.mark.parametrize("radix", [1, 2, 5, 90])
@pytest.mark.parametrize("word", ["dct", "dst", "hartley"])
def test_any_radix_is_exact(word, radix):
    assert differs(MonarchTransform(90, init=word, radix=radix).as_matrix()[0], expected(word, 90)) < EXACT


@pytest.mark.parametrize("n", [1, 2, 8, 64, 128])
@pytest.mark.parametrize("radix", [None, 2])
def test_hadamard_is_scipys_with_its_rows_in_paleys_order(n, radix):
    whole = expected("hadamard", n)
    assert differs(MonarchTransform(n, init="hadamard", radix=radix).as_matrix()[0], whole) < EXACT
    chosen = range(n // 4, n // 4 + max(1, n // 3))
    found = MonarchTransform(n, init="hadamard", radix=radix, modes=chosen).as_matrix()[0]
    assert differs(found, whole[chosen.start : chosen.stop]) < EXACT


def test_the_first_rows_of_hadamard_change_sign_least():
    rows = np.sign(expected("hadamard", 64))
    changes = (np.diff(rows, axis=1) != 0).sum(1)
    for b in range(7):
        assert sorted(changes[: 2**b]) == list(range(2**b))


@pytest.mark.parametrize(("n", "blocks"), [(12, 3), (35, 5), (192, 8), (31, 1), (16, 16)])
def test_local_dfts_are_numpys_of_each_block(n, blocks):
    whole = local(n, blocks)
    assert differs(MonarchTransform(n, init=LocalDFT(blocks)).as_matrix()[0], whole) < EXACT
    x = random(2, n, dtype=torch.float64)
    half = (n // blocks // 2 + 1) * blocks
    spectrum = MonarchTransform(n, init=LocalDFT(blocks), modes=range(half))(x)
    by_block = np.fft.rfft(x.numpy().reshape(2, blocks, -1), norm="ortho")
    assert differs(spectrum, by_block.swapaxes(1, 2).reshape(2, -1)) < EXACT
    synthesis = MonarchTransform(n, init=LocalDFT(blocks), modes=range(half), inverse=True, real=True)
    assert_close(synthesis(spectrum), x, n=n)
    within = blocks - 1 if half > blocks else 0  # the rows begin within the blocks of a frequency
    some = MonarchTransform(n, init=LocalDFT(blocks), modes=range(within, half))
    assert differs(some.as_matrix()[0], whole[within:half]) < EXACT


def test_local_frequencies_of_both_signs():
    transform = MonarchTransform(24, init=LocalDFT(4), modes=12)
    assert transform.frequencies == range(-4, 8)
    whole = local(24, 4)
    assert differs(transform.as_matrix()[0], np.concatenate([whole[-4:], whole[:8]])) < EXACT
    with pytest.raises(ConfigError, match=r"modes=10 .* a multiple of the blocks"):
        MonarchTransform(24, init=LocalDFT(4), modes=10)


@pytest.mark.parametrize("word", ["dft", *REAL, "local"])
@pytest.mark.parametrize("heads", [1, 3])
def test_a_synthesis_undoes_its_analysis(word, heads):
    x = random(2, 2 * heads, 64)
    analysis, synthesis = (MonarchTransform(64, init=word, inverse=i, heads=heads) for i in (False, True))
    assert_close(synthesis(analysis(x)), x, n=64)
    assert analysis.distance < EXACT
    assert synthesis.distance < EXACT


@pytest.mark.parametrize("word", ["dct", "dst", "hartley"])
@pytest.mark.parametrize("n", [12, 31])
def test_a_learned_real_member_stays_real_and_linear(word, n):
    for options in ({}, {"modes": n // 3, "heads": 2}, {"inverse": True}):
        transform = MonarchTransform(n, init=word, **options)
        perturb(transform)
        assert not transform.as_matrix().imag.any()
        assert not transform(random(1, 2, transform.shape[1]).real).imag.any()
        has_adjoint(transform)
        matches_matrix(transform)
        is_linear(transform, 2, transform.heads, transform.shape[1], dtype=torch.complex128)


def test_gradients_through_the_order_and_the_real_part():
    transform = MonarchTransform(6, init=[DCT(), LocalDFT(2)], heads=2, modes=4)
    names = [name for name, _ in transform.named_parameters()]

    def run(*parameters):
        matrix = torch.func.functional_call(Matrix(transform), dict(zip(names, parameters, strict=True)), ())
        return torch.view_as_real(matrix)

    class Matrix(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self):
            return self.inner.as_matrix()

    names = [f"inner.{name}" for name in names]
    perturb(transform)
    assert torch.autograd.gradcheck(run, [p.detach().requires_grad_() for p in transform.parameters()])


@pytest.mark.parametrize("n", [12, 31])
def test_hartley_may_be_centred(n):
    x = random(2, n)
    shifted = torch.fft.fftshift(torch.fft.fft(torch.fft.ifftshift(x, dim=-1), norm="ortho"), dim=-1)
    flipped = torch.fft.fftshift(torch.fft.ifft(torch.fft.ifftshift(x, dim=-1), norm="ortho"), dim=-1)
    assert_close(
        MonarchTransform(n, init="hartley", centered=True)(x), ((1 + 1j) * shifted + (1 - 1j) * flipped) / 2, n=n
    )


@pytest.mark.parametrize("init", [DCT(), DST(), Hadamard(), LocalDFT(2), Given(torch.eye(16))])
def test_the_others_have_no_centre(init):
    with pytest.raises(ConfigError, match="centered=True with init="):
        MonarchTransform(16, init=init, centered=True)


@pytest.mark.parametrize("cls", [MonarchTransform, DenseTransform])
@pytest.mark.parametrize("inverse", [False, True])
def test_a_list_gives_each_member_an_equal_share_of_the_heads(cls, inverse):
    transform = cls(16, init=["dft", DCT(), LocalDFT(4)], heads=6, modes=range(8), inverse=inverse)
    found = transform.as_matrix()
    each = [expected("dft", 16)[:8], expected("dct", 16)[:8], local(16, 4)[:8]]
    wanted = np.repeat(np.stack(each), 2, axis=0)
    exact = transform.distance < EXACT
    assert exact  # the radix of the local one serves all
    assert differs(found, wanted.conj().swapaxes(1, 2) if inverse else wanted) < EXACT
    perturb(transform)
    assert not transform.as_matrix()[2:4].imag.any()
    matches_matrix(transform)
    transform.reset()
    assert differs(transform.as_matrix(), wanted.conj().swapaxes(1, 2) if inverse else wanted) < EXACT
    for value, start in zip(factor_parameters(transform), initial_factors(transform), strict=True):
        assert_close(value, start)


def test_settings_that_do_not_fit():
    for init, options, message in (
        (["dft", "dct"], {"heads": 3}, "heads=3 for 2 members"),
        ("fourier", {}, "init='fourier': expected one of dft, dct"),
        ([], {}, "at least one member"),
        (Hadamard(), {"size": 12}, "12 points: expected a power of two"),
        (LocalDFT(5), {}, "16 points: the blocks must divide it"),
        (DCT(), {"modes": range(-1, 4)}, "rows 0 to 15"),
        (DST(), {"modes": range(8, 17)}, "rows 0 to 15"),
        (LocalDFT(2), {"modes": range(-2, 4), "inverse": True, "real": True}, "frequencies from 0 up"),
        (Given(torch.eye(4, 16)), {"modes": 5}, "rows 0 to 3"),
        (Given(torch.eye(8)), {}, "16 points: a given matrix has no other grid"),
        (["dct", LocalDFT(3)], {"heads": 2}, "16 points: the blocks must divide it"),
    ):
        with pytest.raises(ConfigError, match=message):
            MonarchTransform(**({"size": 16} | options), init=init)
    with pytest.raises(ConfigError, match="blocks=0"):
        LocalDFT(0)
    with pytest.raises(ConfigError, match=r"Given\(2x2\): it holds NaN"):
        Given(torch.tensor([[1.0, 0.0], [0.0, torch.nan]]))
    with pytest.raises(ConfigError, match="a FourierTransform is the DFT"):
        FourierTransform(16, init="dct")


@pytest.mark.parametrize("inverse", [False, True])
def test_a_given_matrix_is_projected_and_its_distance_told(inverse):
    matrix = random(10, 12)
    transform = MonarchTransform(12, init=Given(matrix), inverse=inverse)
    nearest = torch.einsum("jb,bja->jab", *_rows_of(project_to_monarch(matrix))).flatten(1)
    assert_close(transform.as_matrix()[0], nearest.mH if inverse else nearest, n=12)
    assert transform.distance == pytest.approx(float((nearest - matrix).norm() / matrix.norm()), rel=1e-10)
    assert f"{transform.distance:.1e}" in repr(transform)
    assert "Given(10x12)" in repr(transform)
    assert DenseTransform(12, init=Given(matrix)).distance < EXACT
    exact = MonarchTransform(12, modes=5)
    assert MonarchTransform(12, init=Given(exact.as_matrix()[0])).distance < EXACT


def _rows_of(factors):
    left, right = factors.left[0], factors.right[0]
    return left, right[:, torch.arange(len(left)) % right.shape[1]]


def test_a_local_dft_at_another_radix_is_projected():
    assert MonarchTransform(24, init=LocalDFT(4), radix=6).distance > 0.1


def test_a_dense_real_member_is_stored_without_imaginary_parts():
    assert DenseTransform(8, init="dct", modes=5).matrix.shape == (1, 5, 8, 1)
    assert DenseTransform(8, init=["dct", "dft"], heads=2, modes=5).matrix.shape == (2, 5, 8, 2)
    assert DenseTransform(8, init="hartley").bfloat16().as_matrix().dtype == torch.complex64


@pytest.mark.parametrize("cls", [MonarchTransform, DenseTransform])
@pytest.mark.parametrize("init", ["dft", *REAL, LocalDFT(4), Given(torch.eye(16)[:12])])
def test_is_made_without_memory_and_reset(cls, init):
    with torch.device("meta"):
        transform = cls(16, init=init)
    assert {p.device.type for p in transform.parameters()} == {"meta"}
    transform = transform.to_empty(device="cpu")
    transform.reset()
    assert torch.equal(transform.as_matrix(), cls(16, init=init).as_matrix())


def test_matrices_from_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    matrix = random(3, 4)
    np.save(tmp_path / "m.npy", matrix.numpy())
    torch.save(matrix, tmp_path / "m.pt")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["matrix"] = matrix.numpy()
    for name in ("m.npy", "m.pt", "m.h5"):
        assert torch.equal(DenseTransform(4, init=Given(tmp_path / name)).as_matrix()[0], matrix)
    (tmp_path / "bad.npy").write_bytes(b"no")
    (tmp_path / "bad.pt").write_bytes(b"no")
    torch.save([matrix], tmp_path / "list.pt")
    errors = {"bad.npy": CorruptFile, "bad.pt": CorruptFile, "list.pt": BadSchema, "m.csv": ConfigError}
    for name, error in errors.items():
        with pytest.raises(error, match=name):
            Given(tmp_path / name)
    with pytest.raises(ConfigError, match=r"\(4, 3\): expected \(m, n\) with m ≤ n"):
        Given(matrix.mT)


@pytest.mark.parametrize("cls", [MonarchTransform, DenseTransform])
@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize(
    ("init", "old", "new"),
    [
        *((word, old, new) for word in ("dct", "dst", "hartley") for old, new in ((12, 18), (31, 20), (1, 4))),
        ("hadamard", 16, 64),
        ("hadamard", 64, 16),
        (LocalDFT(4), 16, 24),
        (LocalDFT(4), 24, 16),
        (["dct", LocalDFT(2)], 12, 20),
    ],
)
def test_untrained_it_is_itself_on_another_grid(cls, inverse, init, old, new):
    heads = len(init) if isinstance(init, list) else 1
    transform = cls(old, init=init, inverse=inverse, heads=heads)
    wanted = cls(new, init=init, inverse=inverse, heads=heads, modes=transform._at(new, None).frequencies)
    assert_close(transform.matrix_at(new), wanted.as_matrix(), n=new)
    assert_close(transform.resized(new).as_matrix(), wanted.as_matrix(), n=new)


@pytest.mark.parametrize("cls", [MonarchTransform, DenseTransform])
@pytest.mark.parametrize("init", [*REAL, LocalDFT(4), ["dct", "dft"]])
@pytest.mark.parametrize("inverse", [False, True])
def test_only_the_matrix_counts_on_another_grid(cls, init, inverse):
    """Not the factors behind a real part: a resized transform, or one with a matrix loaded, is carried as any other."""
    options = {"init": init, "inverse": inverse, "heads": 2 if isinstance(init, list) else 1, "modes": range(8)}
    transform, wanted = cls(16, **options), cls(64, **options).as_matrix()
    assert_close(transform.resized(32).matrix_at(64), wanted, n=64)
    transform.load_matrix(transform.as_matrix())
    assert_close(transform.matrix_at(64), wanted, n=64)


@pytest.mark.parametrize("inverse", [False, True])
def test_cosines_carry_a_weight_over_the_centres_of_cells(inverse):
    transform = DenseTransform(8, init="dct", modes=1, inverse=inverse)
    weight = lambda n: 1 + (torch.arange(n) + 0.5) / n  # noqa: E731
    transform.load_matrix(transform.as_matrix() * (weight(8)[:, None] if inverse else weight(8)))
    found = transform.matrix_at(16).flatten() * 4
    assert_close(found[1:-1], weight(16)[1:-1].to(found.dtype), n=16)  # the outermost lie beyond the old ones


@pytest.mark.parametrize("init", [DCT(), DST(), Hartley(), Hadamard(), LocalDFT(4)])
@pytest.mark.parametrize("inverse", [False, True])
def test_a_learned_weight_over_the_domain_reaches_another_grid(init, inverse):
    """As for the DFT, to the error of linear interpolation."""
    transform = DenseTransform(64, modes=8, init=init, inverse=inverse)
    grid = lambda n: 1 + torch.sin(2 * torch.pi * torch.arange(n) / n)  # noqa: E731
    weigh = lambda m, n: m * (grid(n)[:, None] if inverse else grid(n))  # noqa: E731
    with torch.no_grad():
        transform.matrix.mul_((grid(64)[:, None] if inverse else grid(64))[..., None])
    found = transform.matrix_at(128)
    wanted = weigh(DenseTransform(128, modes=8, init=init, inverse=inverse).as_matrix(), 128)
    # Interpolation between every second point of the DCT and the DST, and none beyond the last of a block.
    assert (found - wanted).norm() / wanted.norm() < 2e-2


@pytest.mark.parametrize(
    ("init", "size", "message"),
    [
        (Hadamard(), 24, "expected a power of two"),
        (LocalDFT(8), 20, "the blocks must divide it"),
        (Given(torch.eye(16)), 32, "no other grid"),
    ],
)
def test_a_grid_that_a_member_does_not_have_is_refused(init, size, message):
    with pytest.raises(ConfigError, match=message):
        MonarchTransform(16, init=init).matrix_at(size)


def test_what_a_member_has_not_on_its_own_grid_changes_nothing():
    transform = MonarchTransform(16, init=Given(random(6, 16)))
    perturb(transform)
    assert_close(transform.matrix_at(16), transform.as_matrix(), n=16)


@pytest.mark.parametrize("word", ["dct", "dst", "hartley"])
def test_loading_a_matrix_of_the_class_is_exact(word):
    source, target = MonarchTransform(30, init=word, modes=12), MonarchTransform(30, init=word, modes=12)
    perturb(source)
    target.load_matrix(source.as_matrix())
    assert_close(target.as_matrix(), source.as_matrix(), n=30)


def test_loading_is_the_nearest():
    """No small move of the factors comes nearer to the matrix."""
    matrix = random(1, 10, 12, dtype=torch.float64)
    transform = MonarchTransform(12, init="dct", modes=10)
    transform.load_matrix(matrix)
    distance = (transform.as_matrix().real - matrix).square().sum()
    for gradient in torch.autograd.grad(distance, list(transform.parameters())):
        assert gradient.norm() < 1e-12 * matrix.norm()


@pytest.mark.parametrize("sizes", [(12, 7), (256, 192)])
@pytest.mark.parametrize("adjoint", [False, True])
def test_separable_products_of_unlike_members(sizes, adjoint):
    made = [MonarchTransform(n, init=init) for n, init in zip(sizes, ("dct", "dft"), strict=True)]
    operator = SeparableTransform(made)
    x = random(1, 2, *sizes)
    a, b = (torch.as_tensor(expected(word, n)).to(x.dtype) for n, word in zip(sizes, ("dct", "dft"), strict=True))
    wanted = torch.einsum("bcyx,ky,lx->bckl", x, *((a.mH, b.mH) if adjoint else (a, b)))
    assert_close(operator.adjoint(x) if adjoint else operator(x), wanted, n=x.numel())


@pytest.mark.parametrize("init", [*REAL, LocalDFT(4), ["dft", LocalDFT(2)]])
@pytest.mark.parametrize("inverse", [False, True])
def test_at_any_rank_it_starts_the_same_and_every_term_learns(init, inverse):
    options = {"init": init, "inverse": inverse, "heads": len(init) if isinstance(init, list) else 1}
    one, transform = MonarchTransform(16, **options), MonarchTransform(16, rank=2, **options)
    assert torch.equal(transform.as_matrix(), one.as_matrix())
    target = random(*one.as_matrix().shape)
    moved = moved_by_two_steps(transform, target)
    assert (moved[0] != 0).any(-1).all()
    assert (moved[1] != 0).any(-1).all()


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("modes", [5, 12, 16])
def test_loading_at_any_rank_is_exact_within_the_class(rank, modes):
    most = full_rank(16, modes)
    if rank > most:
        pytest.skip(f"the full rank is {most}")
    source, target = (MonarchTransform(16, init="dct", modes=modes, rank=rank) for _ in range(2))
    perturb(source)
    target.load_matrix(source.as_matrix())
    assert_close(target.as_matrix(), source.as_matrix(), n=16)


def test_a_given_matrix_is_projected_to_the_rank():
    matrix = random(16, 16)
    nearer = [MonarchTransform(16, init=Given(matrix), rank=rank).distance for rank in range(1, 5)]
    assert nearer == sorted(nearer, reverse=True)
    assert nearer[0] > 0.5
    assert nearer[-1] < EXACT
