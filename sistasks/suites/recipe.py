"""All that goes into a run: the records of the build steps and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sistasks import build_records, setup
from sistasks.combinations import each_of_matrix
from sistasks.errors import FileChanged, SistasksError, UsageError
from sistasks.files import sha256_of
from sistasks.firmware import Firmware, has_uefi
from sistasks.guest.build import Guest
from sistasks.kernels import Kernel
from sistasks.kinds import show_size
from sistasks.machine.arch import ARCHES
from sistasks.machine.confinement import confine
from sistasks.machine.spec import Machine
from sistasks.protocols.profile import PROFILES
from sistasks.suites import identities
from sistasks.suites.suite import STRESS

if TYPE_CHECKING:
    from sistasks.evidence.kernels import KeptKernel
    from sistasks.machine.arch import Arch
    from sistasks.protocols.profile import ConsoleProfile
    from sistasks.settings import Settings
    from sistasks.suites.suite import Suite

# variables that name a file: what counts is what is in it
_FILES: Final = ("advisories",)


# by how the folder of a guest begins: which step makes it
_STEPS: Final = {"guest": "guest", "programs": "_programs", "stressors": "_stressors"}


def boots_through_uefi(settings: Settings) -> bool:
    """Whether templates and nodes go through firmware; every image that we know can also be booted directly."""
    if settings.boot == "uefi" and not has_uefi(ARCHES[settings.arch]):
        raise UsageError(
            f"boot=uefi cannot be with arch={settings.arch}", ARCHES[settings.arch].without_firmware
        )
    return settings.boot == "uefi"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a run is made of.

    Attributes:
        settings: what was asked.
        machine: what each node is made of.
        kernel: the kernel under test.
        guest: our guest; None: the kernel brings its own, or needs none, and talks on its console.
        firmware: what it boots through; None: it is booted directly.
        found: what `setup` found of this machine.
    """

    settings: Settings
    machine: Machine
    kernel: Kernel
    guest: Guest | None
    firmware: Firmware | None
    found: setup.SetupRecord

    @classmethod
    def load(
        cls,
        settings: Settings,
        *,
        uefi: bool | None = None,
        network: bool = False,
        guarded: bool = False,
        console: ConsoleProfile | None = None,
    ) -> Recipe:
        """Put the records of the build steps together.

        Args:
            settings: what was asked.
            uefi: boot through firmware; None: as the settings say.
            network: nodes that talk to each other: on the wall clock, for each virtual clock is its node's own, and
                with one processor each unless more were asked for.
            guarded: with a processor that has protections, where it is emulated and the kernel asks for no other.
            console: without our agent, and what it says on its console is read so, unless it is a kernel that talks.

        Raises:
            SistasksError: a record is missing or two settings cannot be together.
        """
        arch = ARCHES[settings.arch]
        found = setup.load(build_records.setup_record(settings))
        kernel = Kernel.from_json(build_records.kernel_record(settings).read_text())
        if console is not None and not kernel.talks:
            kernel = replace(kernel, console=console)
        if kernel.esp is not None:
            uefi = boots_through_uefi(replace(settings, boot="uefi"))
        elif uefi is None:
            uefi = boots_through_uefi(settings)
        guest = None if kernel.talks else Guest.from_json(build_records.guest_record(settings).read_text())
        firmware = Firmware.from_json(build_records.firmware_record(settings).read_text()) if uefi else None
        accel = found.accelerator
        clock = _clock(settings, kernel, accel.name, network=network)
        if clock == "virtual" and accel.name != "tcg":
            raise UsageError(
                f"clock=virtual cannot be with the accelerator {accel.name}",
                "the instruction clock needs emulation: accel=tcg, or clock=wall",
            )
        settings = _with_needs(settings, kernel)
        memory = settings.memory
        if uefi and memory < arch.firmware_memory:
            if settings.boot == "uefi" or kernel.esp is not None:
                least = show_size(arch.firmware_memory)
                raise UsageError(
                    f"memory={show_size(memory)} is too little for the firmware", f"at least {least}"
                )
            memory = arch.firmware_memory  # the boot suite's node through firmware, whatever the others have
        cpus = 1 if network and "cpus" not in settings.given else settings.cpus
        machine = Machine(
            arch=arch, qemu=Path(found.qemu_path), accel=accel.name,
            cpu=_cpu(arch, kernel, accel.cpu, guarded=guarded) if accel.name == "tcg" else accel.cpu,
            cpus=min(settings.cpus, arch.virtual_cpus) if clock == "virtual" else cpus,
            memory=memory, clock=clock, kernel=None if kernel.esp else kernel.image, esp=kernel.esp,
            initramfs=guest.initramfs if guest else kernel.initramfs, agent=guest is not None,
            firmware=(firmware.code, firmware.vars) if firmware else None,
            results_line=guest.results_line if guest else "serial",
            arguments=_arguments(settings, kernel), network=network,
            confinement=confine(found.sandbox, accel.name, found.hindered, keep=settings.user == "keep"),
        )  # fmt: skip
        if kernel.talks and kernel.esp is None:
            # what an agent's kernel is told, too; it is no part of the kernel's identity
            base = replace(machine, agent=True).base_command_line()
            if kernel.profile.protocol == "ktap":
                # a kernel without them passes them over; after an oops KUnit would wait for minutes
                base += " oops=panic kunit_shutdown=reboot"
            machine = replace(machine, arguments=(*base.split(), *machine.arguments))
        return cls(
            settings=settings, machine=machine, kernel=kernel, guest=guest, firmware=firmware, found=found
        )

    @property
    def kernel_id(self) -> str:
        """The kernel's identity: its image's SHA-256; with arguments of its own, that of both together."""
        arguments = _arguments(self.settings, self.kernel)
        if not arguments:
            return self.kernel.sha256
        return identities.digest({"image": self.kernel.sha256, "arguments": arguments})

    @property
    def kernel_name(self) -> str:
        """The kernel's name, with its own arguments: what tells two kernels under test apart for a person."""
        return " ".join([self.kernel.name, *_arguments(self.settings, self.kernel)])

    @property
    def guest_sha256(self) -> str:
        """Of the guest without kernel modules, or no two kernels could be compared; of a kernel's own initramfs."""
        if self.guest is not None:
            return self.guest.bare_sha256
        return sha256_of(self.kernel.initramfs) if self.kernel.initramfs else ""

    @property
    def slots(self) -> int:
        """Nodes that run at once: one for each processor of the host that a node's own processors leave."""
        return max(1, self.found.host_cores // self.machine.cpus)

    @property
    def enforces_targets(self) -> bool:
        """Whether a missed target fails: an emulated nanosecond proves no claim about hardware."""
        wish = self.settings.targets
        hardware = self.machine.clock == "wall" and self.machine.accel in {"kvm", "hvf"}
        return wish == "enforce" or (wish == "auto" and hardware)

    @property
    def timeout(self) -> float:
        """Seconds that a node may take: under emulation all takes longer, up to three times."""
        return self.settings.timeout * (3 if self.machine.accel == "tcg" else 1)

    def with_direct_boot(self) -> Recipe:
        """The same without firmware."""
        return replace(self, firmware=None, machine=replace(self.machine, firmware=None))

    def with_programs(self) -> Recipe:
        """The same with the guest that has the user's programs.

        Raises:
            OSError: they are not packed yet.
        """
        guest = Guest.from_json(build_records.programs_record(self.settings).read_text())
        return replace(self, guest=guest, machine=replace(self.machine, initramfs=guest.initramfs))

    def with_stressors(self) -> Recipe:
        """The same with the guest that has stress-ng, or with its guest as it is where there is none.

        Raises:
            OSError: the step `_stressors` was not done yet, or there is no guest of ours.
        """
        guest = Guest.from_json(build_records.stressors_record(self.settings).read_text())
        return replace(self, guest=guest, machine=replace(self.machine, initramfs=guest.initramfs))

    def with_kernel(self, kept: KeptKernel, folder: Path) -> Recipe:
        """The same with a kernel that was kept, and the guest that it was measured with.

        Args:
            kept: the kernel.
            folder: of the kept kernels' files.
        """
        image, initramfs = folder / kept.image, folder / kept.initramfs
        kernel = replace(
            self.kernel, image=image, sha256=kept.image, command_line=" ".join(kept.arguments), symbols=None
        )
        guest = self.guest and replace(
            self.guest, initramfs=initramfs, sha256=kept.initramfs, bare_sha256=kept.guest,
            results_line=kept.results_line,
        )  # fmt: skip
        machine = replace(
            self.machine,
            kernel=image,
            initramfs=initramfs,
            arguments=kept.arguments,
            results_line=kept.results_line,
        )
        return replace(
            self, settings=replace(self.settings, arguments=""), kernel=kernel, guest=guest, machine=machine
        )

    def node_count(self, suite: Suite) -> int:
        """Nodes that the suite measures on."""
        if suite.cold or (suite.console and "nodes" not in self.settings.given):
            return 1
        return self.settings.nodes

    def clones(self, suite: Suite) -> bool:
        """Whether the suite's nodes are clones; only where an agent says when to freeze."""
        return self.settings.clone and not suite.cold and self.guest is not None

    def environment(self, suite: Suite) -> dict[str, Any]:
        """What must be equal for two runs to be comparable, as the columns of `environments` without the id.

        Under the virtual clock the host is no part of it: the numbers agree across hosts. Under the wall clock the
        host is, and so is how many nodes shared it.
        """
        return identities.environment(self, suite)

    def trace(self, suite: Suite) -> str:
        """What is traced in the suite's tests: it makes them slower, so that it is another measurement."""
        return "no" if self.guest is None or suite.network else self.settings.trace

    def asked(self, names: tuple[str, ...]) -> dict[str, Any]:
        """Variables of the settings that a suite depends on; of a file what is in it."""
        found = {}
        for name in names:
            value = getattr(self.settings, name)
            found[name] = sha256_of(Path(value)) if name in _FILES and Path(value).is_file() else value
        return found

    def template_key(self) -> str:
        """The identity of the template: everything that its frozen memory depends on."""
        return identities.template_key(self)

    def inputs_sha256(self, suite: Suite) -> str:
        """What makes one run of a suite the same as another."""
        return identities.inputs_sha256(self, suite)

    def verify(self) -> None:
        """Check that the files are those that the records speak of.

        Raises:
            FileChanged, FirmwareError: one has been changed since it was built, by name.
        """
        from sistasks import firmware

        made = [(self.kernel.image, self.kernel.sha256, "kernel")]
        if self.guest is not None:
            step = _STEPS[self.guest.initramfs.parent.name.partition("-")[0]]
            made.append((self.guest.initramfs, self.guest.sha256, step))
        for path, expected, step in made if self.kernel.esp is None else ():
            remedy = f"`doit -a {step}` makes it anew"
            try:
                found = sha256_of(path)
            except OSError as failure:
                raise FileChanged(f"{path} cannot be read: {failure.strerror}", remedy) from failure
            if found != expected:
                changed = f"{path} has been changed: sha256 {found[:12]}, recorded {expected[:12]}"
                raise FileChanged(changed, remedy)
        if self.firmware is not None:
            firmware.verify(self.firmware)


def _arguments(settings: Settings, kernel: Kernel) -> tuple[str, ...]:
    """The kernel command line that makes it this kernel under test: its own, and what was asked."""
    return (*kernel.command_line.split(), *settings.arguments.split())


def _cpu(arch: Arch, kernel: Kernel, usual: str, *, guarded: bool) -> str:
    """The CPU model of an emulated node: what the kernel needs, or one with protections, or the usual one."""
    return kernel.cpu or (arch.guarded_cpu if guarded else "") or usual


def _with_needs(settings: Settings, kernel: Kernel) -> Settings:
    """The settings with what the kernel says that it needs, where the person has said nothing."""
    if kernel.memory and "memory" not in settings.given:
        settings = replace(settings, memory=kernel.memory)
    if kernel.cpus and "cpus" not in settings.given:
        settings = replace(settings, cpus=kernel.cpus)
    return settings


def _clock(settings: Settings, kernel: Kernel, accel: str, *, network: bool) -> str:
    """The clock: `virtual` under emulation, unless nodes talk to each other or are talked to.

    Raises:
        UsageError: the virtual clock was asked for where it cannot be.
    """
    typed = kernel.talks and bool(kernel.profile.prompt)
    if typed and settings.clock == "virtual":
        raise UsageError(
            f"clock=virtual cannot be with kernel={kernel.name}, which is typed to",
            "when a line is typed depends on the host: clock=wall",
        )
    if network or kernel.talks:
        return "virtual" if settings.clock == "virtual" and not network else "wall"
    if settings.clock == "auto":
        return "virtual" if accel == "tcg" else "wall"
    return settings.clock


def recipes(suite: Suite, settings: Settings) -> list[Recipe]:
    """What a suite runs on: one recipe, and for the boot suite one for each way of booting."""
    if suite.network:
        loads = suite.name == STRESS.name
        # whoever asks for the virtual clock gets it where nodes can do without each other: each is loaded for itself
        made = Recipe.load(settings, network=not loads or settings.clock != "virtual")
        return [made.with_stressors() if loads and made.guest is not None else made]
    if suite.console:
        return [Recipe.load(settings, console=PROFILES[suite.console])]
    if suite.programs or suite.act is not None:
        # when nodes are acted on depends on the host
        made = Recipe.load(settings if suite.act is None else replace(settings, clock="wall"))
        if made.guest is not None:
            return [made.with_programs() if suite.programs else made]
        if suite.act is not None or set(suite.tests) == {program.name for program in suite.programs}:
            raise UsageError(
                f"kernel={made.kernel.name} talks on its console, so the suite {suite.name} has nothing to run",
                "programs and what acts on nodes need our guest; give the kernel commands instead",
            )
    if suite.name != "boot":
        return [Recipe.load(settings, guarded=suite.guarded)]
    direct = Recipe.load(settings, uefi=False)
    if direct.guest is None:
        profile = direct.kernel.profile
        if direct.machine.clock == "virtual" and (profile.marks or profile.ready):
            raise UsageError(
                f"clock=virtual cannot be with the stages of booting of kernel={direct.kernel.name}",
                "they are timed by the host, when the console tells them: clock=wall",
            )
        return [direct]
    return [direct, Recipe.load(settings, uefi=True)] if has_uefi(direct.machine.arch) else [direct]


def recipes_of_each(suite: Suite, settings: Settings) -> list[Recipe]:
    """What a suite runs on with these settings: each kernel that can be had, on each architecture that was asked for.

    Raises:
        SistasksError, OSError, ValueError: none of them has one, or two settings cannot be together.
    """
    found: list[Recipe] = []
    failure: Exception | None = None
    for one in each_of_matrix(settings):
        try:
            found += recipes(suite, one)
        except (SistasksError, OSError, ValueError) as error:
            failure = error
    if not found and failure is not None:
        raise failure
    return found
