from __future__ import annotations

from contextlib import closing

from luna_local.kubelet.addresses import PodAddresses


def test_no_two_pods_have_the_same_address() -> None:
    with closing(PodAddresses()) as addresses:
        taken = [addresses.take() for _ in range(600)]
    assert len(set(taken)) == 600
    assert all(address.startswith("127.64.") for address in taken)


def test_two_kubelets_never_hand_out_the_same_address() -> None:
    with closing(PodAddresses()) as one, closing(PodAddresses()) as other:
        assert not {one.take() for _ in range(300)} & {other.take() for _ in range(300)}


def test_an_address_comes_back_after_all_others() -> None:
    with closing(PodAddresses()) as addresses:
        first = addresses.take()
        addresses.give_back(first)
        others = [addresses.take() for _ in range(5)]
        assert first not in others


def test_a_released_block_is_free_for_the_next_kubelet() -> None:
    with closing(PodAddresses()) as addresses:
        first = addresses.take()
    with closing(PodAddresses()) as addresses:
        assert addresses.take() == first
