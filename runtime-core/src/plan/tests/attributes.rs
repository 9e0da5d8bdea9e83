//! Who sets scheduler and i/o priority, and where memory policy and personality stand.

use super::*;

fn asking() -> Case {
    Case::default()
        .set("/process/scheduler", json!({"policy": "SCHED_RR", "priority": 2}))
        .set("/process/ioPriority", json!({"class": "IOPRIO_CLASS_BE", "priority": 5}))
        .set(
            "/linux/memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]}),
        )
        .set("/linux/personality", json!({"domain": "LINUX32"}))
}

#[test]
fn the_host_sets_what_needs_its_rights() {
    let plan = asking().plan().unwrap();
    let is_host = |fits: fn(&HostOp) -> bool| plan.host.iter().any(|step| fits(&step.op));
    assert!(is_host(|op| matches!(op, HostOp::Scheduler { scheduler } if scheduler.policy == 2)));
    assert!(is_host(|op| matches!(op, HostOp::IoPriority { value } if *value == 2 << 13 | 5)));
    assert!(!names(&plan).contains(&"Scheduler") && !names(&plan).contains(&"IoPriority"));
    let policy = place(
        &plan,
        |op| matches!(op, OwnedOp::MemoryPolicy { mode: 0x8002, nodes } if nodes[..] == [3, 0, 0, 0, 0, 0, 0, 0]),
    );
    let personality = place(&plan, |op| matches!(op, OwnedOp::Personality { persona: 8 }));
    assert!(
        policy < personality && personality < place(&plan, |op| matches!(op, OwnedOp::BoundingSet { .. }))
    );
}

#[test]
fn init_sets_its_own_where_the_caller_may_not() {
    let mut case = asking();
    case.host.credentials.effective &= !(1 << 23);
    let plan = case.plan().unwrap();
    assert!(
        !plan.host.iter().any(|step| matches!(step.op, HostOp::Scheduler { .. } | HostOp::IoPriority { .. }))
    );
    let ready = plan.init.iter().rposition(|step| matches!(step.op, OwnedOp::Barrier { .. })).unwrap();
    assert!(place(&plan, |op| matches!(op, OwnedOp::Scheduler { priority: 2, .. })) < ready);
    assert!(place(&plan, |op| matches!(op, OwnedOp::IoPriority { value: 0x4005 })) < ready);
}
