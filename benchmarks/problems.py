"""The data and protocols of the comparisons; `make benchmark-data` writes the files."""

from dataclasses import replace

from trials import Problem

# A small protocol: 200 training and 50 test samples; 50 more choose the learning rates.
NAVIER_STOKES = {
    nu: Problem(
        name=f"navier_stokes_{nu}",
        path=f"data/navier_stokes_{nu}_small.h5",
        n_train=200,
        n_val=50,
        n_test=50,
        grid=(32, 32),
        n_modes=(24, 24),
        width=20,
        epochs=40,
        input_frames=10,
        output_frames=10,
    )
    for nu in ("1e-3", "1e-5")
}
# With the paper's number of samples: fewer epochs, about as many steps.
NAVIER_STOKES |= {
    f"{nu}_n1000": replace(
        problem, name=f"{problem.name}_n1000", path=f"data/navier_stokes_{nu}_n1000.h5", n_train=1000, epochs=12
    )
    for nu, problem in NAVIER_STOKES.items()
}
BURGERS = Problem(
    name="burgers",
    path="data/burgers.h5",
    n_train=1000,
    n_val=200,
    n_test=200,
    grid=(128,),
    n_modes=(32,),
    width=32,
    epochs=30,
    input_frames=1,
    output_frames=1,
    time_stride=10,
)
