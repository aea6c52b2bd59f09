# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from threading import Thread

import pytest
import torch
from scipy import special, stats
from torch import distributed as dist

from bundle.self_cleansing.losses import TLoss, student_t_loss


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, 2, 2, 4, generator=generator, dtype=torch.float64)
    label = (torch.rand(3, 2, 2, 4, generator=generator) > 0.6).double()
    return logits, label


def t_loss(log_nu: float) -> TLoss:
    loss = TLoss().double()
    loss.log_nu.data.fill_(log_nu)
    return loss


@pytest.mark.parametrize("log_nu", [-2.0, 1.0, 4.0])
def test_equals_scipys_density_of_every_image_and_class(log_nu, case):
    logits, label = case
    weight = torch.tensor([[1.0, 2], [0, 1], [0, 0.5]])
    total = 0.0
    for b in range(3):
        for k in range(2):
            density = stats.multivariate_t(label[b, k].flatten().numpy(), df=math.exp(log_nu))
            total -= float(weight[b, k]) * density.logpdf(torch.sigmoid(logits[b, k]).flatten().numpy()) / 8
    assert t_loss(log_nu)(logits, label, weight).item() == pytest.approx(total / 4.5, rel=1e-6)


def test_one_pixel_is_the_univariate_distribution():
    value = student_t_loss(torch.tensor(0.6**2), torch.tensor(0.5), 1)
    assert value.item() == pytest.approx(-stats.t(df=math.exp(0.5)).logpdf(0.6), rel=1e-6)


def test_with_many_degrees_of_freedom_it_is_the_normal_distribution(case):
    logits, label = case
    normal = -stats.norm.logpdf(torch.sigmoid(logits).numpy(), loc=label.numpy()).mean()
    assert t_loss(20.0)(logits, label, torch.ones(3, 2)).item() == pytest.approx(normal, rel=1e-6)


@pytest.mark.parametrize("log_nu", [-8.0, 1.0])
def test_large_images_keep_their_digits(log_nu):
    """A float32 logarithm of the gamma function is wrong by more than 0.01 here."""
    squared_error = torch.tensor([0.0, 1e-3, 40.0, 512.0**2])
    nu, pixels = math.exp(log_nu), 512**2
    by_scipy = (
        special.gammaln(nu / 2)
        - special.gammaln((nu + pixels) / 2)
        + pixels / 2 * math.log(math.pi * nu)
        + (nu + pixels) / 2 * special.log1p(squared_error.double().numpy() / nu)
    )
    ours = student_t_loss(squared_error, torch.tensor(log_nu, dtype=torch.float64), pixels) * pixels
    torch.testing.assert_close(ours, torch.from_numpy(by_scipy), rtol=1e-9, atol=1e-4)


def test_gradients(case):
    """Of the prediction, also by hand: the error, divided by nu plus the squared error of the whole image."""
    logits, label = case
    loss, log_nu = TLoss().double(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    squared_error = torch.tensor([0.0, 0.2, 7.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda e, n: student_t_loss(e, n, 8), (squared_error, log_nu))
    logits.requires_grad_()
    loss(logits, label, torch.ones(3, 2)).backward()
    probs, nu = torch.sigmoid(logits.detach()), math.e
    error = probs - label
    pull = (nu + 8) * error / (nu + error.square().sum(dim=(2, 3), keepdim=True)) / 8 / 6
    torch.testing.assert_close(logits.grad, pull * probs * (1 - probs))
    assert loss.log_nu.grad.abs() > 1e-3


def test_the_degrees_of_freedom_are_found_from_the_errors():
    """Maximum likelihood from 4000 draws of 5 pixels with nu = 4."""
    draws = stats.multivariate_t(shape=torch.eye(5).numpy(), df=4).rvs(4000, random_state=0)
    squared_error = torch.from_numpy(draws).square().sum(dim=1)
    log_nu = TLoss().log_nu
    optimizer = torch.optim.Adam([log_nu], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        student_t_loss(squared_error, log_nu, 5).mean().backward()
        optimizer.step()
    assert log_nu.exp().item() == pytest.approx(4, rel=0.15)


def test_no_label_taking_part_leaves_the_degrees_of_freedom_alone(case):
    loss = TLoss()
    loss(*case, torch.zeros(3, 2)).backward()
    assert loss.log_nu.grad.item() == 0


def test_degrees_of_freedom_survive_saving_and_loading():
    other = TLoss()
    other.load_state_dict(t_loss(-0.5).float().state_dict())
    assert other.log_nu.item() == -0.5 and repr(other) == repr(TLoss())


@pytest.fixture
def two_processes():
    """Two processes of one training, as threads: torch's own stand-in, which really adds up between them."""
    threaded = pytest.importorskip("torch.testing._internal.distributed.multi_threaded_pg")
    threaded._install_threaded_pg()
    torch._C._distributed_c10d._set_thread_isolation_mode(True)
    yield dist.HashStore()
    torch._C._distributed_c10d._set_thread_isolation_mode(False)
    threaded._uninstall_threaded_pg()


def test_all_processes_see_the_mean_gradient_of_the_degrees_of_freedom(two_processes, case):
    """Process 0 has no label that takes part. The network's gradients are DDP's business and stay apart."""
    weights = [torch.zeros(3, 2), torch.tensor([[1.0, 2], [0, 1], [0, 0.5]])]
    together = {}

    def gradients(loss: TLoss, weight) -> tuple:
        logits = case[0].clone().requires_grad_()
        (loss(logits, case[1], weight) + loss(logits, 1 - case[1], weight)).backward()  # used twice, averaged once
        return loss.log_nu.grad.item(), logits.grad

    def process(rank: int) -> None:
        dist.init_process_group("threaded", rank=rank, world_size=2, store=two_processes)
        together[rank] = gradients(TLoss(), weights[rank])
        dist.destroy_process_group()

    alone = [gradients(TLoss(), weight) for weight in weights]
    threads = [Thread(target=process, args=(rank,), daemon=True) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert together[0][0] == together[1][0] == pytest.approx(alone[1][0] / 2, rel=1e-6)
    assert abs(alone[1][0]) > 1e-3
    for rank in range(2):
        torch.testing.assert_close(together[rank][1], alone[rank][1])
