// SPDX-License-Identifier: Apache-2.0

import RSerPoolCommands

await runCommandLine(RegistrarProgram.self)
