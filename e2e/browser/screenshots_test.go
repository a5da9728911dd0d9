package browser

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
)

var screenshots = flag.String("screenshots", "", "the folder to write pictures of the page to, after a minute of load; empty: none")

func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("make screenshots writes them")
	}
	s := start(t, build(t), "", 20*time.Millisecond)
	b := open(t, startChromium(t), s.url+"/debug/")
	b.until(`!document.getElementById("data").hidden`)
	began := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for n := 0; time.Since(began) < time.Minute; n++ {
		<-tick.C
		texts := 1 + n/40 // the longer it takes, the more often a question was asked before
		if err := s.turn(t.Context(), fmt.Sprint("chat-", n%7), fmt.Sprint("Question ", n%(300/texts))); err != nil {
			t.Fatal(err)
		}
	}
	b.exec(`new Promise(done => setTimeout(done, 2500))`) // until it shows the last turns too
	b.exec(`const all = [...document.querySelectorAll('details')], one = all.find(d => d.textContent.includes('3 calls')); all.forEach(d => { d.open = d === one; })`)
	for file, l := range map[string]look{
		"page-desktop.png": {width: 1280, height: 1080}, "page-dark.png": {width: 1280, height: 1080, dark: true}, "page-phone.png": {width: 390, height: 844},
	} {
		b.show(l)
		shot := call(b, page.CaptureScreenshot, page.CaptureScreenshotParams{})
		if err := os.WriteFile(filepath.Join(*screenshots, file), shot.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
