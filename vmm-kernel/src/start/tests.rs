use zerocopy::FromZeros;

use super::*;

#[test]
fn an_image_for_another_kernel_or_platform_is_refused() {
    let boot = BootPage { magic: BOOT_MAGIC, platform: backend::IMAGE, ..BootPage::new_zeroed() };
    assert!(check_boot_page(&boot).is_ok());
    let other_version = BootPage { magic: BOOT_MAGIC + 1, ..boot };
    assert!(matches!(check_boot_page(&other_version), Err(BootError::NotABootPage)));
    let other_platform = BootPage { platform: backend::IMAGE + 7, ..boot };
    let refused = check_boot_page(&other_platform).unwrap_err();
    assert!(matches!(refused, BootError::OtherPlatform(7)));
    assert_eq!(refused.to_string(), "the image is made for platform 7, and this kernel for 0");
}
