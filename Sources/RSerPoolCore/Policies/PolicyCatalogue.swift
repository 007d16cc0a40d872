// SPDX-License-Identifier: Apache-2.0

public import RSerPoolWire

/// The policies that a registrar accepts pool elements with, or by which a pool user chooses.
///
/// A registrar refuses elements whose policy it does not have (cause 3, POL-005), and serves those that another registrar
/// has accepted in turn. A pool user serves lists by a policy that it does not have in the registrar's order.
public struct PolicyCatalogue: Sendable {
    private var policies: [PolicyType: SelectionPolicy] = [:]

    /// No policy at all.
    package init() {}

    /// Adds a policy of your own.
    ///
    /// - Precondition: its type has bit 31 set and is not here yet, and so its name, which is not empty and has no colon.
    ///   Numbers without bit 31 are the standards' to assign (RFC 5356 §7.1), and what they mean is not to be changed.
    public mutating func add(_ policy: SelectionPolicy) {
        precondition(policy.type.isPrivate, "\(policy.name): a policy of one's own needs a type with bit 31 set")
        self.insert(policy)
    }

    /// The policy with this number; nil where it is not known.
    public subscript(type: PolicyType) -> SelectionPolicy? { self.policies[type] }

    /// The policy of this name; nil where it is not known.
    public subscript(named name: String) -> SelectionPolicy? { self.all.first { $0.name == name } }

    /// All of them, by number.
    public var all: [SelectionPolicy] { self.policies.values.sorted { $0.type.rawValue < $1.type.rawValue } }

    package mutating func insert(_ policy: SelectionPolicy) {
        precondition(self[policy.type] == nil, "\(policy.name): there is a policy of this type already")
        precondition(self[named: policy.name] == nil, "\(policy.name): there is a policy of this name already")
        precondition(!policy.name.isEmpty && !policy.name.contains(":"), "\(policy.name): no name for a policy")
        self.policies[policy.type] = policy
    }
}
