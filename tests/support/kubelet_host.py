"""A program that runs a kubelet and nothing else: `python kubelet_host.py KUBECONFIG FOLDER FILE`; made to be killed.

FILE stands for what must not outlive the kubelet; it is written when the kubelet is ready.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from luna_kube import KubeClient, load_credentials
from luna_local.kubelet.kubelet import Kubelet, KubeletSettings


async def main(kubeconfig: Path, folder: Path, file: Path) -> None:
    async with KubeClient(await load_credentials(kubeconfig)) as client:
        kubelet = Kubelet(client, KubeletSettings(folder, unlink_at_end=(file,)))
        running = asyncio.create_task(kubelet.run())
        await kubelet.ready.wait()
        file.write_text("ready")
        await running


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])))
