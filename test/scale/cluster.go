// Copyright The Appliance Backup Operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	backupv1alpha1 "appliance.io/backup-operator/api/v1alpha1"
)

const (
	// home is the operator's namespace.
	home = "backup-operator"
	// account is its service account; scraper is that of the Prometheus that isn't there.
	account, scraper = "backup-operator", "prometheus"
)

// auditPolicy has the API server log what the operator writes: each request once, when it has been answered.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["system:serviceaccount:` + home + `:` + account + `"]
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// cluster is a control plane without anything that would act by itself.
type cluster struct {
	environment *envtest.Environment
	scheme      *k8sruntime.Scheme
	// admin is a client with all rights, which no priority or fairness holds back.
	admin client.WithWatch
	// asOperator is a client with the operator's credentials and client settings.
	asOperator client.Client
	// kubeconfig is the file of the operator's credentials.
	kubeconfig string
	// scrapeToken are the credentials for the metrics.
	scrapeToken string
	audit       *auditLog
}

// startCluster starts the control plane with the project's CRD, its role and its service account.
func startCluster(ctx context.Context, dir string) (*cluster, error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: run this by make bench-scale, or by " +
			"KUBEBUILDER_ASSETS=$(hack/cluster/build.sh) go run ./test/scale")
	}
	policy := filepath.Join(dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return nil, err
	}
	c := &cluster{
		environment: &envtest.Environment{
			CRDDirectoryPaths: []string{repository("config/crd/bases")}, ErrorIfCRDPathMissing: true,
		},
		scheme: k8sruntime.NewScheme(),
		audit:  &auditLog{path: filepath.Join(dir, "audit.log")},
	}
	if err := errors.Join(clientgoscheme.AddToScheme(c.scheme), backupv1alpha1.AddToScheme(c.scheme)); err != nil {
		return nil, err
	}
	c.environment.ControlPlane.Etcd = &envtest.Etcd{}
	c.environment.ControlPlane.Etcd.Configure().
		Set("unsafe-no-fsync", "true").Set("quota-backend-bytes", "8589934592")
	c.environment.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", policy).Set("audit-log-path", c.audit.path).
		Set("audit-log-maxsize", "1000000"). // In MB: it is read as one file.
		// Every few minutes the API server would read all objects from etcd to compare them with its cache, which takes it many
		// seconds that fall into one measurement or another.
		Set("feature-gates", "DetectCacheInconsistency=false")
	config, err := c.environment.Start()
	if err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	if err := c.connect(ctx, dir, config); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

func (c *cluster) stop() error { return c.environment.Stop() }

// connect makes the clients.
func (c *cluster) connect(ctx context.Context, dir string, config *rest.Config) error {
	unlimited := rest.CopyConfig(config)
	unlimited.QPS = -1
	var err error
	if c.admin, err = client.NewWithWatch(unlimited, client.Options{Scheme: c.scheme}); err != nil {
		return err
	}
	if err := c.createAccounts(ctx); err != nil {
		return err
	}
	token, err := c.token(ctx, account)
	if err != nil {
		return err
	}
	if c.scrapeToken, err = c.token(ctx, scraper); err != nil {
		return err
	}
	c.kubeconfig = filepath.Join(dir, "kubeconfig")
	if err := writeKubeconfig(c.kubeconfig, config, token); err != nil {
		return err
	}
	// As the operator has it: no limit of the client's own, for the API server has priority and fairness.
	own, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		return err
	}
	own.QPS = -1
	c.asOperator, err = client.New(own, client.Options{Scheme: c.scheme})
	return err
}

// createAccounts makes the service accounts, with the roles that the project's manifests give them.
func (c *cluster) createAccounts(ctx context.Context) error {
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: home}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account, Namespace: home}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: scraper, Namespace: home}},
	}
	for file, subject := range map[string]string{
		"role.yaml": account, "metrics_auth_role.yaml": account, "metrics_reader_role.yaml": scraper,
	} {
		content, err := os.ReadFile(repository("config/rbac/" + file))
		if err != nil {
			return err
		}
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal(content, &role); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		objects = append(objects, &role, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: home, Name: subject}},
		})
	}
	for _, object := range objects {
		if err := c.admin.Create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) token(ctx context.Context, name string) (string, error) {
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](24 * 3600)},
	}
	owner := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: home}}
	err := c.admin.SubResource("token").Create(ctx, owner, request)
	return request.Status.Token, err
}

func writeKubeconfig(file string, config *rest.Config, token string) error {
	const name = "scale"
	content := clientcmdapi.NewConfig()
	content.Clusters[name] = &clientcmdapi.Cluster{
		Server: config.Host, CertificateAuthorityData: config.CAData,
	}
	content.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token}
	content.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	content.CurrentContext = name
	return clientcmd.WriteToFile(*content, file)
}

// repository is the path of a file of the repository.
func repository(path string) string {
	_, self, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(self), "../..", path)
}
