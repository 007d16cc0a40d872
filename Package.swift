// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

let houseSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

extension Target {
    /// A library or test-kit target of ours: the house's language settings, nothing else.
    static func house(_ name: String, _ dependencies: [Dependency] = [], path: String? = nil) -> Target {
        .target(name: name, dependencies: dependencies, path: path, swiftSettings: houseSettings)
    }

    static func houseTests(_ name: String, _ dependencies: [Dependency], excluding: [String] = []) -> Target {
        .testTarget(name: name, dependencies: dependencies, exclude: excluding, swiftSettings: houseSettings)
    }
}

let package = Package(
    name: "swift-rserpool",
    products: [
        .library(name: "RSerPool", targets: ["RSerPool"]),
        .library(name: "RSerPoolRegistrar", targets: ["RSerPoolRegistrar"]),
        .library(name: "SCTP", targets: ["SCTP"]),
        .executable(name: "rserpool", targets: ["rserpool"]),
        .executable(name: "rserpool-registrar", targets: ["rserpool-registrar"]),
    ],
    dependencies: [
        .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: [.defaults, "JSON"]),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
    ],
    targets: [
        // The network below: addresses, the socket loop, SCTP over two stacks.
        .house("NetworkAddress"),
        .target(name: "CSocketLoop"),
        .house("SocketLoop", ["CSocketLoop", "NetworkAddress"]),
        .target(name: "CSCTP", linkerSettings: [.linkedLibrary("sctp")]),
        .systemLibrary(name: "CUSRSCTP"),
        .house("SCTP", ["CSCTP", "CUSRSCTP", "CSocketLoop", "NetworkAddress", "SocketLoop"]),

        // What RSerPool says and decides: no I/O, no time.
        .house("RSerPoolWire", ["NetworkAddress"]),
        .house(
            "RSerPoolCore",
            ["NetworkAddress", "RSerPoolWire", .product(name: "HeapModule", package: "swift-collections")]),

        // What it runs on, and who runs.
        .house("RSerPoolTransport", ["NetworkAddress", "SocketLoop", "SCTP", "CSocketLoop"]),
        .house(
            "RSerPoolRegistrar",
            [
                "NetworkAddress", "RSerPoolCore", "RSerPoolTransport", "RSerPoolWire",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),
        .house(
            "RSerPool",
            [
                "NetworkAddress", "RSerPoolCore", "RSerPoolTransport", "RSerPoolWire", "SocketLoop",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ]),

        // Programs as one would write them.
        .house("RSerPoolExamples", ["RSerPool", .product(name: "Logging", package: "swift-log")]),

        // What people start.
        .house(
            "RSerPoolCommands",
            [
                "NetworkAddress", "RSerPool", "RSerPoolCore", "RSerPoolExamples", "RSerPoolRegistrar",
                "RSerPoolTransport", "RSerPoolWire", "SCTP", "SocketLoop",
                .product(name: "Histogram", package: "hdrhistogram-swift"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Configuration", package: "swift-configuration"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ]),
        .executableTarget(name: "rserpool", dependencies: ["RSerPoolCommands"], swiftSettings: houseSettings),
        .executableTarget(name: "rserpool-registrar", dependencies: ["RSerPoolCommands"], swiftSettings: houseSettings),

        // Tests.
        .house(
            "RSerPoolTestKit",
            [
                "NetworkAddress", "RSerPool", "RSerPoolCore", "RSerPoolRegistrar", "RSerPoolTransport", "RSerPoolWire",
                "SocketLoop", .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ],
            path: "Tests/RSerPoolTestKit"),
        .executableTarget(
            name: "scope-simulator", dependencies: ["RSerPoolTestKit"], path: "Tests/ScopeSimulator",
            swiftSettings: houseSettings),
        .house(
            "ProgramKit",
            [
                .product(name: "Subprocess", package: "swift-subprocess"),
                .product(name: "SystemPackage", package: "swift-system"),
            ], path: "Tests/ProgramKit"),
        .houseTests("NetworkAddressTests", ["NetworkAddress"]),
        .houseTests("RSerPoolWireTests", ["RSerPoolWire", "NetworkAddress"]),
        .houseTests("RSerPoolCoreTests", ["RSerPoolCore", "RSerPoolWire", "NetworkAddress"]),
        .houseTests("SCTPTests", ["SCTP", "SocketLoop", "NetworkAddress", "CSocketLoop"]),
        .houseTests(
            "RSerPoolTransportTests",
            ["RSerPoolTransport", "RSerPoolWire", "SCTP", "SocketLoop", "NetworkAddress"]),
        .houseTests(
            "SimulationTests",
            [
                "RSerPoolTestKit", "RSerPool", "RSerPoolCore", "RSerPoolRegistrar", "RSerPoolTransport", "RSerPoolWire",
                "NetworkAddress", "SocketLoop", .product(name: "Logging", package: "swift-log"),
            ],
            excluding: ["start-up", "update", "audit", "takeover", "contested-takeover", "return"].map {
                "Transcripts/\($0).txt"
            }),
        .houseTests(
            "CommandTests",
            [
                "NetworkAddress", "RSerPool", "RSerPoolCommands", "RSerPoolCore", "RSerPoolRegistrar",
                "RSerPoolTransport",
                "RSerPoolWire", "rserpool", "rserpool-registrar", "ProgramKit",
                .product(name: "Logging", package: "swift-log"),
            ]),
        .houseTests("InteropTests", ["rserpool", "rserpool-registrar", "ProgramKit"]),
    ]
)

// The fuzz target is built by Configuration/fuzz alone.
if Context.environment["RSERPOOL_FUZZ"] != nil {
    package.targets.append(
        .executableTarget(
            name: "WireFuzz", dependencies: ["RSerPoolWire", "NetworkAddress"], exclude: ["Corpus"],
            swiftSettings: houseSettings))
}

// The benchmarks, and what they need, are fetched and built by Configuration/benchmark alone.
if Context.environment["RSERPOOL_BENCHMARK"] != nil {
    package.dependencies.append(.package(url: "https://github.com/ordo-one/benchmark", from: "1.38.1", traits: []))
    let benchmarks: [(name: String, folder: String, more: [Target.Dependency])] = [
        ("HandlespaceBenchmarks", "Handlespace", ["FilledHandlespace"]), ("PolicyBenchmarks", "Policies", []),
        ("WireBenchmarks", "Wire", []),
        (
            "SessionBenchmarks", "Sessions",
            ["RSerPool", "RSerPoolTransport", "SocketLoop", .product(name: "Logging", package: "swift-log")]
        ),
        (
            "RegistrarBenchmarks", "Registrar",
            [
                "RSerPoolRegistrar", "RSerPoolTransport", "SocketLoop",
                .product(name: "Logging", package: "swift-log"),
            ]
        ),
    ]
    for (name, folder, more) in benchmarks {
        package.targets.append(
            .executableTarget(
                name: name,
                dependencies: [
                    "BenchmarkSettings", "NetworkAddress", "RSerPoolCore", "RSerPoolWire",
                    .product(name: "Benchmark", package: "benchmark"),
                ] + more,
                path: "Sources/Benchmarks/\(folder)", swiftSettings: houseSettings,
                plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]))
    }
    package.targets.append(
        .executableTarget(
            name: "IdleElements",
            dependencies: [
                "RSerPool", "RSerPoolTransport", "RSerPoolWire", .product(name: "Logging", package: "swift-log"),
            ], path: "Sources/Benchmarks/Idle", swiftSettings: houseSettings))
    package.targets.append(
        .executableTarget(
            name: "HandlespaceTimes", dependencies: ["CMalloc", "FilledHandlespace"],
            path: "Sources/Benchmarks/HandlespaceTimes",
            swiftSettings: houseSettings))
    package.targets.append(.systemLibrary(name: "CMalloc", path: "Sources/Benchmarks/CMalloc"))
    package.targets.append(
        .target(
            name: "FilledHandlespace",
            dependencies: [
                "NetworkAddress", "RSerPoolCore", "RSerPoolWire", .product(name: "Benchmark", package: "benchmark"),
            ], path: "Sources/Benchmarks/FilledHandlespace", swiftSettings: houseSettings))
    package.targets.append(
        .target(
            name: "BenchmarkSettings", dependencies: [.product(name: "Benchmark", package: "benchmark")],
            path: "Sources/Benchmarks/Settings", swiftSettings: houseSettings))
}
