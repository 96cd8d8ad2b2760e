// Command scheduling answers, one JSON line for each on its standard input, on which nodes
// kube-scheduler's filters, the DaemonSet controller and the kubelet let a pod run.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	v1 "k8s.io/api/core/v1"
	corev1helpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
	daemonutil "k8s.io/kubernetes/pkg/controller/daemon/util"
)

type question struct {
	Spec   v1.PodSpec `json:"spec"`
	Nodes  []v1.Node  `json:"nodes"`
	Daemon bool       `json:"daemon"`
}

type answer struct {
	Eligible []string `json:"eligible"`
}

func main() {
	// The scheduler logs numbers that it cannot compare; here nobody reads that.
	klog.SetSlogLogger(slog.New(slog.DiscardHandler))

	lines := bufio.NewReader(os.Stdin)
	answers := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		var asked question
		if err == nil {
			err = json.Unmarshal(line, &asked)
		}
		if err == nil {
			err = answers.Encode(eligible(asked))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "scheduling:", err)
			os.Exit(1)
		}
	}
}

func eligible(asked question) answer {
	pod := &v1.Pod{Spec: asked.Spec}
	if asked.Daemon {
		daemonutil.AddOrUpdateDaemonPodTolerations(&pod.Spec)
	}
	got := answer{Eligible: []string{}}
	for i := range asked.Nodes {
		node := &asked.Nodes[i]
		fits := scheduled(pod, node)
		if pod.Spec.NodeName != "" && !asked.Daemon {
			fits = admitted(pod, node)
		}
		if fits && (pod.Spec.NodeName == "" || pod.Spec.NodeName == node.Name) {
			got.Eligible = append(got.Eligible, node.Name)
		}
	}
	return got
}

// scheduled is Filter of the plugins NodeAffinity, TaintToleration and NodeUnschedulable of
// k8s.io/kubernetes/pkg/scheduler/framework/plugins, which want a scheduler around them.
func scheduled(pod *v1.Pod, node *v1.Node) bool {
	if node.Spec.Unschedulable && !corev1helpers.TolerationsTolerateTaint(
		klog.Background(), pod.Spec.Tolerations,
		&v1.Taint{Key: v1.TaintNodeUnschedulable, Effect: v1.TaintEffectNoSchedule}, true) {
		return false
	}
	return affine(pod, node) && tolerated(pod, node, v1.TaintEffectNoSchedule, v1.TaintEffectNoExecute)
}

// admitted is what the kubelet checks of a pod that came past the scheduler: AdmissionCheck of
// k8s.io/kubernetes/pkg/scheduler and generalFilter of k8s.io/kubernetes/pkg/kubelet/lifecycle.
func admitted(pod *v1.Pod, node *v1.Node) bool {
	return affine(pod, node) && tolerated(pod, node, v1.TaintEffectNoExecute)
}

func affine(pod *v1.Pod, node *v1.Node) bool {
	// The plugin ignores faults of the terms as well.
	match, _ := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node)
	return match
}

func tolerated(pod *v1.Pod, node *v1.Node, effects ...v1.TaintEffect) bool {
	_, untolerated := corev1helpers.FindMatchingUntoleratedTaint(
		klog.Background(), node.Spec.Taints, pod.Spec.Tolerations,
		func(taint *v1.Taint) bool {
			for _, effect := range effects {
				if taint.Effect == effect {
					return true
				}
			}
			return false
		}, true)
	return !untolerated
}
